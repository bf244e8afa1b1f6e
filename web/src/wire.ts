// The wire as clients in TypeScript see it. `check.mjs` has the compiler assign each golden file to its type.

export type LogLine = [text: string, epochMs: number] | [text: string, epochMs: number, isStdErr: boolean]
export type DataRefType = "base64" | "url" | "utf8" | "json" | "key"
export interface DataRef { value: unknown; type?: DataRefType; hash?: string }

export interface Build {
  context?: string; buildContext?: string; filename?: string; target?: string; dockerfile?: string; buildArgs?: string[]; platform?: string
}
export interface Requirements { cpus?: number; gpus?: number; memory?: string | number; maxDuration?: string | number }
export interface Definition {
  v?: unknown; image?: string; build?: Build; command?: string; entrypoint?: string; workdir?: string; env?: Record<string, string>
  shmSize?: string | number; inputs?: Record<string, DataRef>; configFiles?: Record<string, DataRef>; maxDuration?: string | number
  secrets?: string[]; tags?: string[]; requirements?: Requirements
}
export interface Callback { url: string; payload?: unknown }
export interface Control {
  namespace?: string; maxDuration?: string | number; callbacks?: { queued?: Callback; finished?: Callback }
  outputs?: { nhost?: { PAT: string; path: string } }
}
export interface EnqueueJob { id?: string; definition: Definition; control?: Control; debug?: boolean }

export type State = "Queued" | "Running" | "Finished" | "Removed"
export type Reason = "Success" | "Error" | "TimedOut" | "Cancelled" | "WorkerLost" | "JobReplacedByClient" | "Deleted"
export interface JobResult {
  StatusCode?: number; logs: LogLine[]; duration?: number; error?: unknown; isTimedOut: boolean; outputs: Record<string, DataRef>
}
export interface Finished {
  type: "Finished"; reason: Reason; time: number; worker?: string; message?: string; namespace?: string; result?: JobResult
}
export interface Job {
  state: State; queuedTime: number; time: number; worker: string; namespaces: string[]; tags?: string[]; requirements?: Requirements
  debug?: boolean; finishedReason?: Reason; finished?: Finished
}
export type StateChange = { tag: string; job: string } & (
  | { state: "Queued"; value: { type: "Queued"; time: number; enqueued: EnqueueJob } }
  | { state: "Running"; value: { type: "Running"; time: number; worker: string } }
  | { state: "Finished"; value: Finished })
export interface Worker { id: string; version: string; cpus: number; gpus: number; time: number; maxJobDuration: string }
export interface HistoryEntry {
  state: State; time: number; event: string; reason?: Reason; worker?: string; namespace?: string; attempt?: number; message?: string
}

export type Step = "docker image pull" | "cloning repo" | "docker build" | "Running" | "docker image push"
export interface Jobs { state: { jobs: Record<string, Job> }; isSubset: boolean }
export interface Logs { jobId: string; step: Step; logs: LogLine[] }
export type ClientMessage =
  | { type: "StateChange"; payload: StateChange }
  | { type: "QueryJob"; payload: { jobId: string } }
  | { type: "QueryJobStates" }
export type ServerMessage =
  | { type: "JobStates" | "JobStateUpdates"; payload: Jobs }
  | { type: "Workers"; payload: { workers: Worker[] } }
  | { type: "JobStatusPayload"; payload: Logs }
  | { type: "ClearJobCache"; payload: { jobId: string; namespace: string } }
  | { type: "BroadcastJobDefinitions"; payload: { definitions: Record<string, Definition> } }
  | { type: "StatusRequest"; payload: Record<string, never> }
export type WorkerMessage =
  | { type: "WorkerRegistration"; payload: Worker }
  | { type: "StateChange"; payload: StateChange }
  | { type: "JobStatusLogs"; payload: Logs }
  | { type: "RequestJobDefinitions"; payload: { jobIds: string[] } }
  | { type: "WorkerStatusResponse"; payload: Record<string, unknown> }

export interface WorkerDescription {
  id: string; version?: string; cpus: number; gpus?: number; memory?: number; tags?: string[]; maxJobDuration?: string; executor?: string
}
export interface ClaimRequest {
  worker: WorkerDescription; free: { cpus: number; gpus?: number; memory?: number; jobs: number }; wait?: string
}
export interface Claim {
  jobId: string; epoch: number; attempt: number; deadline: number; maxDuration: string; definition: Definition; namespaces: string[]
  debug: boolean
}
export interface ClaimAnswer { jobs: Claim[]; isPaused?: boolean }
export interface HeldJob { jobId: string; epoch: number }
export interface HeartbeatRequest { workerId: string; jobs: HeldJob[]; wait?: string }
export interface HeartbeatAnswer {
  leaseSeconds: number; end: (HeldJob & { reason: Reason; message?: string })[]; unknown: HeldJob[]; isUnknown: boolean
}
export interface LogsRequest { epoch: number; seq: number; step: Step; lines: LogLine[] }
export interface FinishRequest { epoch: number; reason: Reason; message?: string; result: JobResult }
export interface ReleaseRequest { epoch: number }
