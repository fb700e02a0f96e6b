// The resources of the API, by short names.

import type { components } from "./schema";

type Schemas = components["schemas"];

export type Run = Schemas["Run"];
export type ListedRun = Schemas["ListedRun"];
export type RunPage = Schemas["RunPage"];
export type Stage = Schemas["Stage"];
export type Metric = Schemas["Metric"];
export type Attempt = Schemas["Attempt"];
export type RunEvent = Schemas["Event"];
export type EventPage = Schemas["EventPage"];
export type LogEntry = Schemas["LogEntry"];
export type LogPage = Schemas["LogPage"];
