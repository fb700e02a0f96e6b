// Patches of a run, as the stream of changes has them.

type Json = Record<string, unknown>;

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A JSON merge patch (RFC 7396). What does not change keeps its identity. */
export function merge<T>(target: T, patch: unknown): T {
  if (!isObject(patch)) return patch as T;
  const merged = new Map(isObject(target) ? Object.entries(target) : []);
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key);
    else merged.set(key, merge(merged.get(key), value));
  }
  return Object.fromEntries(merged) as T;
}

interface Numbered {
  id: number;
}

/** A patch of a run: as above, but its stages are put in the place of those with the same id. */
export function mergeRun<T extends { stages: Numbered[] }>(run: T, patch: Json): T {
  const { stages, ...rest } = patch;
  const merged = merge(run, rest);
  if (!Array.isArray(stages)) return merged;
  const changed = new Map((stages as Numbered[]).map((stage) => [stage.id, stage]));
  const kept = run.stages.map((stage) => {
    const other = changed.get(stage.id);
    changed.delete(stage.id);
    return other ?? stage;
  });
  return { ...merged, stages: [...kept, ...changed.values()] };
}
