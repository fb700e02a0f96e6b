import { lazy, Suspense, useState } from "react";
import { Link, Route, Switch, useLocation } from "wouter";

import { Empty } from "./components/feedback";
import { applyTheme, storedTheme, type Theme } from "./lib/theme";
import { RunsPage } from "./pages/runs";

const RunPage = lazy(() => import("./pages/run"));

const next: Record<Theme, Theme> = { system: "light", light: "dark", dark: "system" };
const marks: Record<Theme, string> = { system: "◐", light: "☀", dark: "☾" };

function ThemeButton() {
  const [theme, setTheme] = useState(storedTheme);
  const change = () => {
    applyTheme(next[theme]);
    setTheme(next[theme]);
  };
  return (
    <button className="icon" onClick={change} aria-label={`Theme: ${theme}. Change to ${next[theme]}`} title={theme}>
      <span aria-hidden="true">{marks[theme]}</span>
    </button>
  );
}

function Top() {
  const [location] = useLocation();
  const isRuns = location === "/" || location.startsWith("/runs");
  return (
    <header className="top">
      <Link className="brand" href="/">
        <img src="/favicon.svg" width="24" height="24" alt="" />
        Weir
      </Link>
      <nav aria-label="Main">
        <Link href="/" aria-current={isRuns ? "page" : undefined}>
          Runs
        </Link>
      </nav>
      <ThemeButton />
    </header>
  );
}

export function App() {
  return (
    <div className="frame">
      <a className="skip" href="#content">
        Skip to the content
      </a>
      <Top />
      <main id="content" tabIndex={-1}>
        <Suspense fallback={<p className="muted">Loading…</p>}>
          <Switch>
            <Route path="/" component={RunsPage} />
            <Route path="/runs" component={RunsPage} />
            <Route path="/runs/:id/:view?">
              {({ id, view }) => <RunPage key={id} id={id} view={view ?? "stages"} />}
            </Route>
            <Route>
              <div className="card">
                <Empty page icon="search" title="There is no such page">
                  <Link href="/">All runs</Link>
                </Empty>
              </div>
            </Route>
          </Switch>
        </Suspense>
      </main>
    </div>
  );
}
