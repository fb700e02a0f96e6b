import { useEffect, useState } from "react";

/** Copies a text; says so for a moment. */
export function Copy({ text, label = "Copy" }: { text: string; label?: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 1500);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <button
      className="icon quiet tiny"
      title={label}
      aria-label={copied ? "Copied" : label}
      onClick={() => void navigator.clipboard.writeText(text).then(() => setCopied(true))}
    >
      <svg width="14" height="14" viewBox="0 0 14 14" aria-hidden="true">
        {copied ? (
          <path d="M3 7.2 5.8 10 11 4.5" fill="none" stroke="currentColor" strokeWidth="1.7" strokeLinecap="round" />
        ) : (
          <path
            d="M5 5h6.500v7H5ZM9 5V2H2.500v7H5"
            fill="none"
            stroke="currentColor"
            strokeWidth="1.3"
            strokeLinejoin="round"
          />
        )}
      </svg>
    </button>
  );
}
