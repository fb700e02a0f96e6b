import { useState } from "react";

import { applyTheme, storedTheme, type Theme } from "../lib/theme";

const next: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };
const marks: Record<Theme, React.ReactNode> = {
  system: (
    <>
      <circle cx="8" cy="8" r="6" fill="none" stroke="currentColor" strokeWidth="1.5" />
      <path d="M8 2a6 6 0 0 1 0 12Z" fill="currentColor" />
    </>
  ),
  light: (
    <>
      <circle cx="8" cy="8" r="3" fill="currentColor" />
      <path
        d="M8 1v2M8 13v2M1 8h2M13 8h2M3 3l1.4 1.4M11.6 11.6 13 13M13 3l-1.4 1.4M4.4 11.6 3 13"
        stroke="currentColor"
        strokeWidth="1.5"
        strokeLinecap="round"
      />
    </>
  ),
  dark: <path d="M13.5 9.8A6 6 0 0 1 6.2 2.5a6 6 0 1 0 7.3 7.3Z" fill="currentColor" />,
};

/** Goes round the themes: the system's, light, dark. */
export function ThemeButton() {
  const [theme, setTheme] = useState(storedTheme);
  const change = () => {
    applyTheme(next[theme]);
    setTheme(next[theme]);
  };
  return (
    <button
      className="icon quiet"
      onClick={change}
      aria-label={`Theme: ${theme}. Change to ${next[theme]}`}
      title={`Theme: ${theme}`}
    >
      <svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">
        {marks[theme]}
      </svg>
    </button>
  );
}
