import { lazy, Suspense, useEffect, useRef } from "react";
import { Link, Route, Switch, useLocation } from "wouter";

import { Empty, LoadingPage } from "./components/feedback";
import { ThemeButton } from "./components/theme";
import { isIn, sections } from "./sections";
import { SessionMenu } from "./session/menu";
import { SessionGate } from "./session/session";

const RunPage = lazy(() => import("./pages/run"));
const ComparePage = lazy(() => import("./pages/compare"));

/** Keeps the link to the section that one is in visible where the navigation has no room for all of them. */
function useCurrentInSight(location: string) {
  const nav = useRef<HTMLElement>(null);
  useEffect(() => {
    const element = nav.current;
    if (!element) return;
    const show = () => {
      const current = element.querySelector('[aria-current="page"]')?.getBoundingClientRect();
      const frame = element.getBoundingClientRect();
      if (current) element.scrollLeft += current.left + current.width / 2 - (frame.left + frame.width / 2);
    };
    // It has another width when the window has, and when the menu beside it has loaded.
    const observer = new ResizeObserver(show);
    observer.observe(element);
    show();
    return () => observer.disconnect();
  }, [location]);
  return nav;
}

function Top() {
  const [location] = useLocation();
  const nav = useCurrentInSight(location);
  return (
    <header className="top">
      <Link className="brand" href="/">
        <img src="/favicon.svg" width="22" height="22" alt="" />
        Weir
      </Link>
      <nav aria-label="Main" ref={nav}>
        {sections.map((section) => (
          <Link
            key={section.path}
            href={section === sections[0] ? "/" : section.path}
            aria-current={isIn(section, location) ? "page" : undefined}
          >
            {section.title}
          </Link>
        ))}
      </nav>
      <SessionMenu />
      <ThemeButton />
    </header>
  );
}

/** After a change of page the reading begins at its top, for the eye and for screen readers. */
function useFreshStart() {
  const [location] = useLocation();
  const page = location.split("/").slice(0, 3).join("/");
  const seen = useRef(page);
  useEffect(() => {
    if (seen.current === page) return;
    seen.current = page;
    window.scrollTo(0, 0);
    document.getElementById("content")?.focus({ preventScroll: true });
  }, [page]);
}

export function App() {
  return (
    <SessionGate>
      <Frame />
    </SessionGate>
  );
}

function Frame() {
  useFreshStart();
  const [home] = sections;
  return (
    <div className="frame">
      <a className="skip" href="#content">
        Skip to the content
      </a>
      <Top />
      <main id="content" tabIndex={-1}>
        <Suspense fallback={<LoadingPage />}>
          <Switch>
            {home && <Route path="/" component={home.page} />}
            {home && <Route path={home.path} component={home.page} />}
            <Route<{ id: string; view?: string; item?: string }> path="/runs/:id/:view?/:item?">
              {({ id, view, item }) => <RunPage key={id} id={id} view={view ?? "overview"} item={item} />}
            </Route>
            <Route path="/compare" component={ComparePage} />
            {sections.slice(1).map(({ path, page }) => (
              <Route key={path} path={`${path}/*?`} component={page} />
            ))}
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
