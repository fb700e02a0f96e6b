/** In how long, in the two largest units: "in 45 s", "in 3 h 05 m", "in 2 days 4 h"; "now" once it has come. */
export function until(iso: string, now: number): string {
  const seconds = Math.ceil((Date.parse(iso) - now) / 1000);
  if (seconds <= 0) return "now";
  if (seconds < 60) return `in ${seconds} s`;
  const pad = (value: number) => value.toString().padStart(2, "0");
  if (seconds < 3600) return `in ${Math.floor(seconds / 60)} m ${pad(seconds % 60)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 24 * 60) return `in ${Math.floor(minutes / 60)} h ${pad(minutes % 60)} m`;
  const hours = Math.floor(minutes / 60);
  const days = Math.floor(hours / 24);
  return `in ${days} ${days === 1 ? "day" : "days"} ${hours % 24} h`;
}
