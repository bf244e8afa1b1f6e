// The types of the wire, made of the Rust crate `protocol`: `just wire` writes this file, nobody edits it.

/** Why a job has no result. */
export type EndCode =
  | "definition-invalid" // job: The definition cannot be run as it is written.
  | "command-invalid" // job: The command, entrypoint or a size in the definition cannot be read.
  | "command-not-found" // job: The image has no such program, so the container could not start.
  | "command-not-executable" // job: The program is in the image and may not be executed.
  | "container-refused" // job: The engine refuses the container for something that the definition asks for.
  | "out-of-memory" // job: The job used more memory than it may.
  | "disk-exceeded" // job: The job wrote more to disk than it may.
  | "wrote-to-stderr" // job: The job wrote to stderr, and its worker counts that as a failure.
  | "timed-out" // job: The job ran longer than it may.
  | "timed-out-by-worker" // settings: The job took longer than this worker lets jobs take, and less than it asks for.
  | "image-reference-invalid" // job: The image's name cannot be one.
  | "image-not-found" // job: The registry does not know the image.
  | "image-denied" // job: The registry does not let this worker have the image.
  | "image-no-platform" // machine: The registry has the image for other platforms than the worker's.
  | "image-platform-mismatch" // machine: The image is made for another platform than the worker's.
  | "pull-failed" // network: The registry could not be reached or answered with an error that passes.
  | "pull-silent" // network: The registry began to answer and then said nothing more.
  | "unpack-stalled" // machine: The engine took too long to unpack the image.
  | "image-vanished" // machine: The image was there and was removed before the job started.
  | "registry-not-allowed" // settings: The worker's owner does not allow this registry.
  | "url-not-allowed" // settings: The worker's owner does not allow the address of something that the job names.
  | "build-failed" // job: A step of the image's build failed.
  | "build-timed-out" // job: The build took longer than the job may.
  | "build-exceeded" // job: The build used more disk than it may.
  | "build-context-invalid" // job: The build's context cannot be used.
  | "build-context-not-found" // job: The server of the build's context does not have it or does not give it.
  | "build-context-unreachable" // network: The build's context could not be fetched; another try may succeed.
  | "build-base-unreachable" // network: The registry of a base image could not be reached or answered with an error that passes.
  | "build-broken" // machine: The engine broke off the build.
  | "builds-disabled" // settings: The worker's owner has turned builds off.
  | "input-invalid" // job: An input cannot be read or placed as the definition gives it.
  | "input-not-found" // job: The server of an input does not have it or does not give it.
  | "input-unreachable" // network: An input could not be fetched; another try may succeed.
  | "storage-unreachable" // cluster: A stored input could not be fetched; another try may succeed.
  | "output-refused" // job: An output cannot be kept.
  | "output-not-stored" // cluster: The storage did not take an output.
  | "secret-missing" // settings: The worker does not have a secret that the job names.
  | "machine-cannot-run" // settings: The worker's engine cannot run a container with what the worker offers.
  | "engine-gone" // machine: The worker's engine stopped answering.
  | "engine-refused" // machine: The worker's engine failed to run the container.
  | "disk-full" // machine: The worker's disk is full or cannot be used.
  | "worker-broken" // machine: The worker met an error of its own.
  | "definition-lost" // cluster: The stored definition is gone.
  | "workers-lost" // machine: Several workers were lost while they ran the job.
  | "released-too-often" // machine: Several times a worker gave the job back, for reasons that were not the job's.

/** How to build an image. */
export type Build = {
  /** Git or archive URL. */
  context?: string,
  /** Folder inside the context. */
  buildContext?: string,
  /** Name of the Dockerfile inside the context. */
  filename?: string,
  /** Stage to build. */
  target?: string,
  /** The Dockerfile's own text. */
  dockerfile?: string,
  /** `NAME=value` each. */
  buildArgs?: Array<string>,
  /** Such as `linux/amd64`. */
  platform?: string,
}

/** One address to tell. */
export type Callback = {
  /** Gets a POST. `http` or `https`. */
  url: string,
  /** Comes back as `config`. */
  payload?: unknown,
}

/** Whom to tell of a job, and when. */
export type Callbacks = {
  /** Told when the job is queued. */
  queued?: Callback,
  /** Told when the job has ended, however it did. */
  finished?: Callback,
}

/** One claimed job. */
export type Claim = {
  /** Which job. */
  jobId: JobId,
  /** The fence: every later write carries it. */
  epoch: number,
  /** How many times the job has been claimed, this one included. */
  attempt: number,
  /** When the API takes the claim back, epoch milliseconds of the database's clock. */
  deadline: number,
  /** Longest run of the container. */
  maxDuration: Duration,
  /** The definition's text. */
  definition: Definition,
  /** Who holds the job alive. */
  namespaces: Array<string>,
  /** Whether the submitter asked for more words. */
  debug: boolean,
}

/** Answer of a claim. Empty after `wait`. */
export type ClaimAnswer = {
  /** The claimed jobs, in the order of the queue. */
  jobs: Array<Claim>,
  /** Whether there are none because the queue's owner has paused it. */
  isPaused?: boolean,
}

/** `POST /q/:queue/claim`. */
export type ClaimRequest = {
  /** Who asks. */
  worker: WorkerDescription,
  /** How much it can take now. */
  free: Free,
  /** How long to wait for a job; absent means not at all. */
  wait: Duration,
}

/** Payload of `ClearJobCache`. */
export type ClearMessage = {
  /** Which job. */
  jobId: string,
  /** The namespace that let go last. */
  namespace: string,
}

/** Client to server. `PING` is no JSON and not here. */
export type ClientMessage = { "type": "StateChange", "payload": StateChange } | { "type": "QueryJob", "payload": JobQuery } | { "type": "QueryJobStates" }

/** What the submitter wants besides the work itself. Not part of the job id. */
export type Control = {
  /** Namespace that holds the job; absent means `_`. */
  namespace?: Namespace,
  /** Upper bound on the run, on top of the definition's own. */
  maxDuration?: Duration,
  /** Whom to tell. */
  callbacks?: Callbacks,
  /** Run the job again, however it ended before. A job that waits or runs is left as it is. */
  again?: boolean,
}

/** A value, or where to get it. */
export type DataRef = {
  /** Text, JSON, a URL or a key of `/f`, as `type` says. */
  value: unknown,
  /** How to read `value`; absent means UTF-8 text. */
  type?: DataRefType,
  /** SHA-256 of the content that the client claims. A hint: never believed. */
  hash?: string,
}

/** How a data ref's value is read. */
export type DataRefType = "base64" | "url" | "utf8" | "json" | "key"

/**
 * A container job: an image or how to build one, what to run in it, and with which files.
 *
 * Members that are not named here are ignored by us and kept in the stored text.
 */
export type Definition = {
  /** Image reference, such as `python:3.12`. */
  image?: string,
  /** How to build an image instead. One with nothing in it is none: it does not count in the job's id either. */
  build?: Build,
  /** Command line, split by shell quoting rules. */
  command?: string,
  /** Entrypoint, split likewise. */
  entrypoint?: string,
  /** Working directory in the container. */
  workdir?: string,
  /** Environment variables. */
  env?: Record<string, string>,
  /** Size of `/dev/shm`, such as `1g`. */
  shmSize?: string | number,
  /** Files below `/inputs`. */
  inputs?: Record<string, DataRef>,
  /** Files below `/inputs`, or anywhere in the container when the name is absolute. */
  configFiles?: Record<string, DataRef>,
  /** Names of secrets that the worker must have: the job gets them as environment variables and in `/run/secrets`. */
  secrets?: Array<string>,
  /** Longest run, such as `5m`. */
  maxDuration?: string | number,
  /** Only a worker that carries every one of these may claim the job. */
  tags?: Array<string>,
  /** Capacity that the job needs. */
  requirements?: Requirements,
}

/** Payload of `BroadcastJobDefinitions`. */
export type DefinitionsMessage = {
  /** The text of each definition, by job id. */
  definitions: Record<string, Definition>,
}

/** Payload of `RequestJobDefinitions`. */
export type DefinitionsRequest = {
  /** Which jobs. */
  jobIds: Array<JobId>,
}

/** Jobs that wait and run now, items of the task-queue API included. */
export type Depth = {
  /** Waiting ones. */
  queued: number,
  /** Running ones. */
  running: number,
  /** Whether there are more than could be counted. */
  isCapped: boolean,
  /** Since when the one waits that waits longest, epoch milliseconds; null when none waits. */
  oldestQueuedTime: number | null,
}

/** A duration in a JSON body: text or a number of milliseconds. Written as text. */
export type Duration = string | number

/** A claim that ended without its worker. */
export type EndedJob = {
  /** Which job. */
  jobId: JobId,
  /** The ended claim's epoch. */
  epoch: number,
  /** Why. */
  reason: Reason,
  /** A sentence for people. */
  message?: string,
}

/** Body of a submission. */
export type EnqueueJob = {
  /** Id chosen by the client; absent means the hash of the definition. The hash by the rule of before means that job too. */
  id?: JobId,
  /** The definition's text, byte for byte. */
  definition: Definition,
  /** How to queue it. */
  control?: Control,
  /** Asks the worker for more words in the log. */
  debug?: boolean,
}

/** Why a request was refused. */
export type ErrorCode = "invalid-request" | "invalid-body" | "incomplete-body" | "invalid-parameter" | "invalid-name" | "invalid-key" | "invalid-text" | "invalid-token" | "invalid-policy" | "invalid-callback" | "reserved-namespace" | "too-many-namespaces" | "invalid-worker" | "invalid-result" | "hash-mismatch" | "not-a-websocket" | "unreadable-definition" | "no-image" | "definition-too-large" | "too-many-entries" | "duplicate-member" | "invalid-image" | "invalid-command" | "invalid-build" | "invalid-url" | "invalid-workdir" | "invalid-environment" | "invalid-path" | "invalid-base64" | "invalid-duration" | "invalid-size" | "invalid-number" | "invalid-secret" | "invalid-tag" | "unknown-item" | "no-token" | "wrong-token" | "foreign-origin" | "no-route" | "no-page" | "no-job" | "no-definition" | "no-file" | "no-item" | "no-task-queue" | "no-program" | "wrong-method" | "slow-body" | "stale-epoch" | "wrong-stage" | "file-changed" | "too-large" | "no-such-range" | "foreign-host" | "invalid-form" | "unreadable-value" | "storage-refused" | "address-limit" | "queue-limit" | "answer-limit" | "queue-full" | "namespace-full" | "stopping" | "no-database" | "no-storage"

/** Whose fault it is that a job has no result. */
export type Fault = "job" | "machine" | "network" | "settings" | "cluster"

/** `POST /q/:queue/j/:id/finish`. */
export type FinishRequest = {
  /** The claim's epoch. */
  epoch: number,
  /** How the job ended: `Success`, `Error` or `TimedOut`. */
  reason: Reason,
  /** Why, as programs read it: one of the end codes. Absent for `Success`. */
  code?: string,
  /** Whose fault that is. A failure that does not say so answers no later submission. */
  fault?: Fault,
  /** A sentence for people. */
  message?: string,
  /** What it left. */
  result: JobResult,
}

/** The end of a job. */
export type Finished = { "type": "Finished",
/** How it ended. */
reason: Reason,
/** When, epoch milliseconds. */
time: number,
/** Who ran it. */
worker?: string,
/** Why, as programs read it: one of the end codes. Absent for `Success`, and where nobody said. */
code?: string,
/** Whose fault that is. Only a failure of the job's own answers later submissions. */
fault?: Fault,
/** A sentence for people. */
message?: string,
/** The namespace that a cancel named. */
namespace?: string,
/** What it left. */
result?: JobResult,
}

/** Capacity that no job holds now. */
export type Free = {
  /** Cpus. */
  cpus: number,
  /** Gpus. */
  gpus: number,
  /** Bytes of memory. */
  memory: number,
  /** Most jobs wanted. */
  jobs: number,
}

/** Answer of a heartbeat. */
export type HeartbeatAnswer = {
  /** How long the claims live without another heartbeat. */
  leaseSeconds: number,
  /** Claims that ended here: stop them, finish nothing. */
  end: Array<EndedJob>,
  /** Claims that nobody knows: stop them too. */
  unknown: Array<HeldJob>,
  /** Whether the worker itself is unknown and must describe itself with its next claim. */
  isUnknown: boolean,
}

/** `POST /q/:queue/heartbeat`. */
export type HeartbeatRequest = {
  /** Who lives. */
  workerId: WorkerId,
  /** Every claim it holds. A claim of this worker that is missing here was lost on the way and is queued again. */
  jobs: Array<HeldJob>,
  /** How long to wait for a job that must end; absent means not at all. */
  wait: Duration,
  /**
   * Whether this is the last one: the worker ends and asks for no more jobs. Without claims it counts as gone at once, not
   * when its lease is over, and its claims that are missing in `jobs` are queued again at once.
   */
  isLeaving?: boolean,
}

/** A claim that a worker believes it holds. */
export type HeldJob = {
  /** Which job. */
  jobId: JobId,
  /** Its claim's epoch. */
  epoch: number,
}

/** One transition in `history.json`. */
export type HistoryEntry = {
  /** State after the transition. */
  state: State,
  /** When, epoch milliseconds. */
  time: number,
  /** What happened: `queued`, `claimed`, `requeued`, `released`, `finished`, … */
  event: string,
  /** How the job ended, or why it was queued again. */
  reason?: Reason,
  /** The worker concerned. */
  worker?: string,
  /** The namespace concerned. */
  namespace?: string,
  /** Which claim of the job this is, from 1. */
  attempt?: number,
  /** Why, as programs read it: one of the end codes, of an end or of a release. */
  code?: string,
  /** Whose fault that is. */
  fault?: Fault,
  /** A sentence for people. */
  message?: string,
}

/** Jobs that ended within an interval. */
export type Interval = {
  /** Its beginning, epoch milliseconds. */
  time: number,
  /** How many ended. */
  finished: number,
  /** How many ended how. Ways in which none ended are left out. */
  outcomes: Partial<Record<Reason, number>>,
  /** Of the outcome `Success`, how many have an exit code other than 0, going by the sample. */
  programFailures: number,
  /** Whether so many ended that the numbers are estimates. */
  isEstimate: boolean,
  /** Of how many jobs the times are. */
  sampled: number,
  /** Wait for the last claim; null when no job of the sample was claimed. */
  waiting: Times | null,
  /** Run; null likewise. */
  running: Times | null,
}

/** A job as clients see it. `finished` is only in `result.json`, never in a listing or a broadcast. */
export type Job = {
  /** Where it stands. */
  state: State,
  /** When it was submitted, epoch milliseconds. */
  queuedTime: number,
  /** When it entered its state, epoch milliseconds. */
  time: number,
  /** The worker that holds or held it; empty when none did. */
  worker: string,
  /** Who holds it alive. */
  namespaces: Array<string>,
  /** Tags it needs of its worker. */
  tags?: Array<string>,
  /** Capacity it needs of its worker. */
  requirements?: Requirements,
  /** Whether the submitter asked for more words. */
  debug?: boolean,
  /** How it ended. */
  finishedReason?: Reason,
  /** All about its end. */
  finished?: Finished,
}

/** Names a job in its queue: 64 hex digits when the server made it, else what the client chose. */
export type JobId = string

/** A page of jobs. */
export type JobPage = {
  /** The jobs. */
  data: Array<ListedJob>,
  /** What to give as `before` for the next page; null on the last one. */
  next: string | null,
}

/** Which job is asked for. */
export type JobQuery = {
  /** Its id. */
  jobId: JobId,
}

/** What a job left. */
export type JobResult = {
  /** Exit code of the container. */
  StatusCode?: number,
  /**
   * The last of the run's log lines; of a job that failed before it ran, what pull or build said. Workers send none here: the API
   * adds what it stored.
   */
  logs: Array<LogLine>,
  /** `build` where `logs` are lines of the build's log. Absent: they are the run's. */
  logsOf?: string,
  /** What of the log is not in `logs`. Absent: `logs` is all of it. */
  logsOmitted?: OmittedLines,
  /** How long the container ran, milliseconds. */
  duration?: number,
  /** `{"statusCode", "json": {"message"}}` for reason `Error`. */
  error?: unknown,
  /** Whether the run was ended for its length. */
  isTimedOut: boolean,
  /** Files of `/outputs` by their relative path. */
  outputs: Record<string, DataRef>,
  /** What of `/outputs` is not in `outputs`. Absent: nothing. */
  missing?: Missing,
}

/** Payload of `JobStatusLogs`: `JobStatusPayload` with names checked. */
export type JobStatusLogs = {
  /** Whose log. */
  jobId: JobId,
  /** What the job was doing. */
  step: Step,
  /** The lines. */
  logs: Array<LogLine>,
}

/** Jobs by id. */
export type Jobs = {
  /** Jobs by id. */
  jobs: Record<string, Job>,
}

/** Payload of `JobStates` and `JobStateUpdates`. */
export type JobsMessage = {
  /** The jobs. */
  state: Jobs,
  /** Whether other jobs exist that the message leaves out. */
  isSubset: boolean,
  /** The jobs are in other states by now, which a later message tells: this one is so that every state is told. */
  isPast?: boolean,
}

/** A job at a glance. */
export type ListedJob = {
  /** Its id. */
  id: string,
  /** Where it stands. */
  state: State,
  /** How it ended. */
  reason?: Reason,
  /** Why it ended so. */
  message?: string,
  /** Exit code of its program. */
  statusCode?: number,
  /** Image, cut when it is long. Absent when there is none and when the definition is large. */
  image?: string,
  /** Whether the image is built for it. */
  isBuild: boolean,
  /** Command, likewise. */
  command?: string,
  /** Whether it is an item of the task-queue API and no container job. */
  isItem: boolean,
  /** Who runs or ran it. */
  worker?: string,
  /** How many times it was claimed. */
  attempt: number,
  /** When it was submitted, epoch milliseconds. */
  queuedTime: number,
  /** When it was last claimed. */
  claimedTime?: number,
  /** When it ended. */
  finishedTime?: number,
  /** How long its program ran, in milliseconds. */
  duration?: number,
}

/** A worker and its load. */
export type Load = {
  /** Its id. */
  id: string,
  /** Version of its program. */
  version: string,
  /** What runs its jobs. */
  executor: string,
  /** Cpus that it offers. */
  cpus: number,
  /** Gpus that it offers. */
  gpus: number,
  /** Bytes of memory that it offers; 0 when it does not say. */
  memory: number,
  /** Tags that it carries. */
  tags: Array<string>,
  /** Longest run that it allows. */
  maxJobDuration: string,
  /** When it was last seen, epoch milliseconds. */
  time: number,
  /** Whether that is lately enough for its jobs to be its own. */
  isAlive: boolean,
  /** Jobs that it holds. */
  jobs: number,
  /** Cpus that these take. */
  cpusUsed: number,
  /** Gpus that these take. */
  gpusUsed: number,
}

/** One line: `[text, epochMs]` for stdout, `[text, epochMs, true]` for stderr. */
export type LogLine = [text: string, epochMs: number] | [text: string, epochMs: number, isStdErr: boolean]

/** Payload of `JobStatusPayload`. */
export type LogsMessage = {
  /** Whose log. */
  jobId: string,
  /** The step's word, see [`crate::Step`]. */
  step: string,
  /** The lines. */
  logs: Array<LogLine>,
  /** Number of the last of them in the build's or the run's log, as the cursors of `build-logs.json` and `run-logs.json` count. */
  cursor?: number,
}

/** `POST /q/:queue/j/:id/logs`. */
export type LogsRequest = {
  /** The claim's epoch. */
  epoch: number,
  /** Number of this chunk in the claim, from 0, without gaps. */
  seq: number,
  /** What the job was doing. */
  step: Step,
  /** The lines. */
  lines: Array<LogLine>,
}

/** What a result lacks. Absent from a result that holds every file of `/outputs`. */
export type Missing = {
  /** How many outputs were left out. A folder that cannot be read counts as one. */
  outputs: number,
  /** There are more: the worker stopped counting. */
  isMore?: boolean,
  /** The reasons, each once. */
  why: Array<MissingFor>,
}

/** Why an output is not in its job's result. */
export type MissingCode = "too-many" | "too-large" | "unreadable" | "not-a-file" | "link" | "name" | "changed" | "other"

/** The outputs that were left out for one reason. */
export type MissingFor = {
  /** The reason. */
  code: MissingCode,
  /** How many. */
  outputs: number,
  /** The first of them by name, ten at most. */
  names: Array<string>,
  /** The reason as a sentence. */
  message: string,
}

/** A label that holds a job alive. `_` is the shared default; `*`, in a cancel, means all. */
export type Namespace = string

/** The beginning of a long log, which a result leaves out. */
export type OmittedLines = {
  /** How many lines of the log come before those that the result holds. */
  lines: number,
  /** Where the whole log is, relative to the address of the result. */
  url: string,
}

/** How a job ended. */
export type Reason = "Success" | "Error" | "TimedOut" | "Cancelled" | "WorkerLost" | "JobReplacedByClient" | "Deleted"

/** `POST /q/:queue/j/:id/release`. */
export type ReleaseRequest = {
  /** The claim's epoch. */
  epoch: number,
  /**
   * Why, as programs read it: one of the end codes. Absent when the worker only ends or takes no more jobs: such a release
   * has no penalty. With a code the job goes behind those that wait, after a pause that grows, and ends after some such releases.
   */
  code?: string,
  /** Whose fault that is. */
  fault?: Fault,
  /** A sentence for people. */
  message?: string,
}

/** A queue in numbers. */
export type Report = {
  /** When it was made, epoch milliseconds. */
  time: number,
  /** How far back it looks. */
  span: Span,
  /** Length of one interval. */
  intervalSeconds: number,
  /** Whether workers get no jobs of the queue. */
  paused: boolean,
  /** Jobs that wait and run. */
  depth: Depth,
  /** Oldest first; the last one is not over yet. */
  intervals: Array<Interval>,
  /** The workers, at most 500, the last seen first. One that is dead goes after an hour. */
  workers: Array<Load>,
}

/** Capacity that a job takes of its worker. */
export type Requirements = {
  /** Cpus, fractions allowed. */
  cpus?: number,
  /** Whole gpus. */
  gpus?: number,
  /** Memory, such as `4g`. */
  memory?: string | number,
  /** A worker that allows less is not offered the job. */
  maxDuration?: string | number,
}

/** Server to client. */
export type ServerMessage = { "type": "JobStates", "payload": JobsMessage } | { "type": "JobStateUpdates", "payload": JobsMessage } | { "type": "Workers", "payload": WorkersMessage } | { "type": "JobStatusPayload", "payload": LogsMessage } | { "type": "ClearJobCache", "payload": ClearMessage } | { "type": "BroadcastJobDefinitions", "payload": DefinitionsMessage } | { "type": "StatusRequest", "payload": Record<symbol, never> }

/** How far back a report looks. */
export type Span = "hour" | "day"

/** Where a job stands. */
export type State = "Queued" | "Running" | "Finished" | "Removed"

/** A transition that one end asks of the other. */
export type StateChange = {
  /** Not used; existing clients send `""`. */
  tag: string,
  /** Which job. */
  job: JobId,
  /** The state it shall enter. */
  state: State,
  /** More about it. */
  value: StateChangeValue,
}

/** The members of every kind of state change. Which of them count follows from `state`. */
export type StateChangeValue = {
  /** The state's word again, where the sender gave it. */
  type?: string,
  /** The sender's clock, epoch milliseconds. Not used. */
  time?: number,
  /** The submission, when `state` is `Queued`. */
  enqueued?: EnqueueJob,
  /** Who runs or ran it, when a worker says so. */
  worker?: WorkerId,
  /** How it ended, when `state` is `Finished`. */
  reason?: Reason,
  /** Whose hold ends; absent means `_`. */
  namespace?: Namespace,
  /** A sentence for people. */
  message?: string,
  /** What it left, when a worker finished it. */
  result?: JobResult,
}

/** What a job was doing when it wrote a line. */
export type Step = "docker image pull" | "cloning repo" | "docker build" | "Running" | "docker image push"

/** Seconds. */
export type Times = {
  /** Median. */
  p50: number,
  /** 95th percentile. */
  p95: number,
  /** Longest. */
  max: number,
}

/** A worker as clients see it. */
export type Worker = {
  /** Its id. */
  id: string,
  /** Its program's version. */
  version: string,
  /** Cpus it offers. */
  cpus: number,
  /** Gpus it offers. */
  gpus: number,
  /** When it was last seen, epoch milliseconds. */
  time: number,
  /** Longest run it allows, such as `24h`. */
  maxJobDuration: string,
}

/** What a worker is and offers. */
export type WorkerDescription = {
  /** Its id, stable over restarts. */
  id: WorkerId,
  /** Its program's version. */
  version: string,
  /** Cpus it offers. */
  cpus: number,
  /** Gpus it offers. */
  gpus: number,
  /** Bytes of memory it offers. */
  memory: number,
  /** Tags it carries. */
  tags: Array<string>,
  /** Longest run it allows. */
  maxJobDuration: Duration,
  /** How it runs jobs: `docker` or `process`. Jobs that name a script and no image are for the latter alone. */
  executor: string,
  /** Names of the secrets that it gives to jobs which ask for them. */
  secrets: Array<string>,
  /** Platforms of the images that it builds. */
  platforms: Array<string>,
  /** Whether it builds images. */
  builds: boolean,
}

/** Names a worker in its queue. */
export type WorkerId = string

/** Worker to server. */
export type WorkerMessage = { "type": "WorkerRegistration", "payload": WorkerRegistration } | { "type": "StateChange", "payload": StateChange } | { "type": "JobStatusLogs", "payload": JobStatusLogs } | { "type": "RequestJobDefinitions", "payload": DefinitionsRequest } | { "type": "WorkerStatusResponse", "payload": Record<string, unknown> }

/** Payload of `WorkerRegistration`. */
export type WorkerRegistration = {
  /** Its id. */
  id: WorkerId,
  /** Its program's version. */
  version: string,
  /** Cpus it offers. */
  cpus: number,
  /** Gpus it offers. */
  gpus: number,
  /** The worker's clock, epoch milliseconds. Not used. */
  time?: number,
  /** Longest run it allows, text or milliseconds. */
  maxJobDuration?: Duration,
}

/** Payload of `Workers`. */
export type WorkersMessage = {
  /** Workers seen within the lease. */
  workers: Array<Worker>,
}
