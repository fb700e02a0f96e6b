// The resources of the API, by short names.

import type { components } from "./schema";

type Schemas = components["schemas"];

export type Run = Schemas["Run"];
export type RunOutput = Schemas["RunOutput"];
export type Finding = Schemas["Finding"];
export type StageProfile = Schemas["StageProfile"];
export type Task = Schemas["Task"];
export type TaskDetail = Schemas["TaskDetail"];
export type AttemptDetail = Schemas["AttemptDetail"];
export type Attempt = Schemas["Attempt"];
export type ListedRun = Schemas["ListedRun"];
export type RunPage = Schemas["RunPage"];
export type RunReason = Schemas["RunReason"];
export type Stage = Schemas["Stage"];
export type Metric = Schemas["Metric"];
export type RunEvent = Schemas["Event"];
export type EventPage = Schemas["EventPage"];
export type LogEntry = Schemas["LogEntry"];
export type LogPage = Schemas["LogPage"];
export type Module = Schemas["Module"];
export type Session = Schemas["Session"];
export type Role = Schemas["Role"];
export type Namespace = Schemas["Namespace"];
export type NamespaceRequest = Schemas["NamespaceRequest"];
export type NamespaceSettings = Schemas["NamespaceSettings"];
export type Key = Schemas["Key"];
export type KeyRequest = Schemas["KeyRequest"];
export type CreatedKey = Schemas["CreatedKey"];
export type Worker = Schemas["Worker"];
export type Scaling = Schemas["Scaling"];
export type RunRequest = Schemas["RunRequest"];
export type Pipeline = Schemas["Pipeline"];
export type ListedPipeline = Schemas["ListedPipeline"];
export type PipelineRequest = Schemas["PipelineRequest"];
export type PipelineRunRequest = Schemas["PipelineRunRequest"];
export type PipelineVersion = Schemas["PipelineVersion"];
export type ListedPipelineVersion = Schemas["ListedPipelineVersion"];
export type Schedule = Schemas["Schedule"];
export type ScheduleRequest = Schemas["ScheduleRequest"];
export type Quota = Schemas["Quota"];
export type QuotaLimits = Schemas["QuotaLimits"];
export type AuditEntry = Schemas["AuditEntry"];
export type SqlCheck = Schemas["SqlCheck"];
export type ModuleFunction = Schemas["ModuleFunction"];
export type RowPage = Schemas["RowPage"];
