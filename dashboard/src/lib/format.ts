// How numbers are written for people. Tables align them, so each has a fixed style.

const integer = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const timestamp = new Intl.DateTimeFormat("en-CA", {
  year: "numeric",
  month: "2-digit",
  day: "2-digit",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hour12: false,
});

/** 1234567 → "1,234,567". */
export function count(value: number): string {
  return integer.format(value);
}

/** 1234567 → "1.2M". */
export function short(value: number): string {
  return compact.format(value);
}

/** Bytes, in binary units: 1536 → "1.5 KiB". */
export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${units[unit] ?? ""}`;
}

/** Milliseconds: 0.2 → "<1 ms", 950 → "950 ms", 61000 → "1 m 01 s". */
export function duration(ms: number): string {
  if (ms > 0 && ms < 0.5) return "<1 ms";
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  const pad = (value: number) => value.toString().padStart(2, "0");
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${pad(seconds % 60)} s`;
  const hours = Math.floor(seconds / 3600);
  return `${hours} h ${pad(Math.floor((seconds % 3600) / 60))} m`;
}

/** A moment, in the reader's time zone, to the second. */
export function moment(iso: string): string {
  return timestamp.format(new Date(iso)).replace(",", "");
}

/** The same to the millisecond, for what follows each other closely. */
export function instant(iso: string): string {
  return `${moment(iso)}.${new Date(iso).getMilliseconds().toString().padStart(3, "0")}`;
}

/** How long ago, in the largest unit: "just now", "5 min ago", "3 days ago". */
export function ago(iso: string, now: number): string {
  const seconds = Math.max(0, (now - Date.parse(iso)) / 1000);
  if (seconds < 45) return "just now";
  const steps: [number, string][] = [
    [60, "min"],
    [3600, "h"],
    [86_400, "day"],
  ];
  let text = "";
  for (const [size, name] of steps) {
    // A minute is near enough; nearly an hour is no hour yet.
    const value = size === 60 ? Math.round(seconds / size) : Math.floor(seconds / size);
    if (value >= 1) text = `${value} ${name}${name === "day" && value !== 1 ? "s" : ""} ago`;
  }
  return text || "1 min ago";
}

/** A share of a whole, for widths and labels: 0.1234 → "12 %". */
export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

/** A number with its word: "1 slot", "2,000 slots". */
export function counted(value: number, word: string): string {
  return `${count(value)} ${word}${value === 1 ? "" : "s"}`;
}
