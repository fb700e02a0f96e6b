// All attempts of the run, unpacked: for the timeline and for the table of tasks. Undefined where that cannot be.
const weirAttempts = (async () => {
  "use strict";
  const source = document.getElementById("weir-attempts");
  if (!source || typeof DecompressionStream === "undefined") return undefined;

  const bytes = Uint8Array.from(atob(source.textContent), (character) => character.charCodeAt(0));
  const unzipped = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const data = JSON.parse(await new Response(unzipped).text());
  const columns = {};
  for (const [name, deltas] of Object.entries(data.numbers)) {
    const column = new Float64Array(data.rows);
    let value = 0;
    for (let row = 0; row < data.rows; row += 1) column[row] = value += deltas[row];
    columns[name] = column;
  }
  columns.queue_delay_ms = new Float64Array(data.rows).map((_, row) =>
    columns.started_at[row] < 0 ? 0 : Math.max(0, columns.started_at[row] - columns.ready_at[row]),
  );
  const words = data.words;
  const word = (name, row) => (words[name].places[row] ? words[name].list[words[name].places[row] - 1] : "");

  const count = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, "\u202f");
  const size = (number) => {
    let [value, unit] = [number, 0];
    const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    while (value >= 1024 && unit + 1 < units.length) [value, unit] = [value / 1024, unit + 1];
    return `${unit === 0 ? number : value < 10 ? value.toFixed(1) : value.toFixed(0)} ${units[unit]}`;
  };
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  const micros = (us) => {
    if (us === 0) return "0";
    if (us < 1e3) return `${us} µs`;
    if (us < 1e4) return `${(us / 1e3).toFixed(1)} ms`;
    if (us < 1e6) return `${Math.floor(us / 1e3)} ms`;
    if (us < 6e7) return `${(us / 1e6).toFixed(1)} s`;
    if (us < 3.6e9) return `${Math.floor(us / 6e7)}m ${two((us / 1e6) % 60)}s`;
    return `${Math.floor(us / 3.6e9)}h ${two((us / 6e7) % 60)}m`;
  };
  const millis = (ms) => micros(ms * 1e3);

  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };
  return { rows: data.rows, columns, words, word, count, size, micros, millis, make };
})();
