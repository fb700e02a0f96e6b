/** Labels, as `key=value`. */
export function Tags({ labels }: { labels: Record<string, string> }) {
  const entries = Object.entries(labels);
  if (entries.length === 0) return null;
  return (
    <span className="tags">
      {entries.map(([key, value]) => (
        <span className="tag" key={key}>
          {value === "" ? key : `${key}=${value}`}
        </span>
      ))}
    </span>
  );
}
