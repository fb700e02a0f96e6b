// Quantiles, and the tasks that each of them stands for.

export interface Quantiles {
  p0: number;
  p25: number;
  p50: number;
  p75: number;
  p95: number;
  p100: number;
}

export type Quantile = keyof Quantiles;

export const quantiles: { key: Quantile; title: string }[] = [
  { key: "p0", title: "min" },
  { key: "p25", title: "25 %" },
  { key: "p50", title: "median" },
  { key: "p75", title: "75 %" },
  { key: "p95", title: "95 %" },
  { key: "p100", title: "max" },
];

/** The values that a click on a quantile is about: the least and the most alone, the others up to the next one. */
export function quantileRange(values: Quantiles, key: Quantile): { min: number; max: number } {
  const at = quantiles.findIndex((quantile) => quantile.key === key);
  const next = key === "p0" ? undefined : quantiles[at + 1];
  return { min: values[key], max: next ? values[next.key] : values[key] };
}
