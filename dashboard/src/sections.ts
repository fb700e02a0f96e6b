// The pages that have a place in the navigation. Each is a chunk of its own and has the addresses below its path.

import { lazy, type ComponentType, type LazyExoticComponent } from "react";

export interface Section {
  title: string;
  /** Its address; those below it belong to it too. */
  path: string;
  /** The page; it routes what is below its path by itself. */
  page: LazyExoticComponent<ComponentType> | ComponentType;
  /** Further paths that count as being in this section. */
  also?: string[];
}

export const sections: Section[] = [
  { title: "Runs", path: "/runs", also: ["/compare"], page: lazy(() => import("./pages/runs")) },
  { title: "Pipelines", path: "/pipelines", page: lazy(() => import("./pages/pipelines")) },
  { title: "Schedules", path: "/schedules", page: lazy(() => import("./pages/schedules")) },
  { title: "SQL", path: "/sql", page: lazy(() => import("./pages/sql")) },
  { title: "Modules", path: "/modules", page: lazy(() => import("./pages/modules")) },
  { title: "Workers", path: "/workers", page: lazy(() => import("./pages/workers")) },
  { title: "Settings", path: "/settings", page: lazy(() => import("./pages/settings")) },
];

/** Whether an address is in a section; the first section has the root, too. */
export function isIn(section: Section, location: string): boolean {
  if (location === "/") return section === sections[0];
  return [section.path, ...(section.also ?? [])].some((path) => location === path || location.startsWith(`${path}/`));
}
