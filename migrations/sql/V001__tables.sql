-- V001: the tables of Asman. The table that holds a job's row is the job's state.
--
-- expand:   everything is new
-- locks:    none that anyone could wait for
-- undo:     drop schema asman cascade
--
-- A job is one row in exactly one of `queued`, `running`, `finished` (a finished job that is submitted again leaves its old
-- `finished` row behind, and the newest place counts). No status column is ever updated: each hot row is inserted once and
-- deleted once. A queue is the first 128 bits of the SHA-256 of its name: no row, no lookup, no lock, and a leaked dump tells
-- no name. Only `webhook` knows names, until it has delivered.
create schema if not exists asman;

create function asman.qid(queue text) returns uuid
  language sql immutable strict parallel safe
  return encode(substring(sha256(convert_to(queue, 'UTF8')) from 1 for 16), 'hex')::uuid;
comment on function asman.qid(text) is 'Key of a queue: first 128 bits of the SHA-256 of its name.';

-- What to run. Immutable. The key is the true hash of the canonical JSON, never what a client says; the text is kept as it
-- came, so that key order and numbers survive. No foreign key points here: it would lock a shared row for every job.
create table asman.definition (
  hash    bytea       not null,
  body    text        not null,
  used_at timestamptz not null default now(),
  constraint definition_pkey primary key (hash),
  constraint definition_hash_is_sha256 check (octet_length(hash) = 32)
);
create index definition_used_at on asman.definition (used_at);
comment on column asman.definition.used_at is 'Last day somebody submitted it; maintain() deletes what nobody can refer to any more.';

create sequence asman.queued_seq;
create sequence asman.event_seq;
create sequence asman.epoch_seq;
comment on sequence asman.epoch_seq is
  'Fence of claims: each claim of any job gets a greater number than every claim before it, so a stale worker never matches. Uncached, because the log of a job is ordered by it.';

-- Waiting jobs. `class` is a hash of the requirements: all rows of one class need exactly the same of a worker, so the first
-- row of a class decides for all of them and a job that no present worker can run never stands before those behind it.
create table asman.queued (
  qid              uuid        not null,
  class            int8        not null,
  priority         int2        not null default 0,
  seq              int8        not null default nextval('asman.queued_seq'),
  job_id           text        collate "C" not null,
  definition_hash  bytea       not null,
  is_true_id       bool        not null,
  is_debug         bool        not null default false,
  namespaces       text[]      not null,
  cpus             float8      not null,
  gpus             int4        not null,
  memory_bytes     int8        not null,
  required_seconds int4        not null,
  max_seconds      int4        not null,
  tags             text[]      not null default '{}',
  attempt          int2        not null default 0,
  n_lost           int2        not null default 0,
  not_before       timestamptz,
  queued_at        timestamptz not null default now(),
  constraint queued_pkey primary key (qid, class, priority, seq),
  constraint queued_job_id_length check (length(job_id) between 1 and 255),
  constraint queued_namespaces_are_bounded check (cardinality(namespaces) between 1 and 1000),
  constraint queued_needs_are_sane check (cpus >= 0 and gpus >= 0 and memory_bytes >= 0 and max_seconds >= 0)
) with (fillfactor = 100, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
-- Not (qid, job_id): in that order the planner serves claims from it, by qid alone, and sorts.
create unique index queued_job on asman.queued (job_id, qid);
comment on column asman.queued.priority is 'Lower runs first; then the order of submission.';
comment on column asman.queued.max_seconds is 'Longest run that definition and submitter allow.';
comment on column asman.queued.required_seconds is 'A worker that allows shorter runs is not offered the job.';
comment on column asman.queued.n_lost is 'Workers lost while they ran it; the third ends it.';
comment on column asman.queued.is_true_id is 'Whether job_id is the hash of the definition, so that it may be found without its queue.';

-- Live claims.
create table asman.running (
  qid              uuid        not null,
  job_id           text        collate "C" not null,
  epoch            int8        not null,
  worker_id        text        not null,
  attempt          int2        not null,
  claimed_at       timestamptz not null default now(),
  deadline         timestamptz not null,
  class            int8        not null,
  priority         int2        not null,
  seq              int8        not null,
  definition_hash  bytea       not null,
  is_true_id       bool        not null,
  is_debug         bool        not null,
  namespaces       text[]      not null,
  cpus             float8      not null,
  gpus             int4        not null,
  memory_bytes     int8        not null,
  required_seconds int4        not null,
  max_seconds      int4        not null,
  tags             text[]      not null,
  n_lost           int2        not null,
  queued_at        timestamptz not null,
  constraint running_pkey primary key (job_id, qid),
  constraint running_namespaces_are_bounded check (cardinality(namespaces) between 1 and 1000),
  constraint running_attempt_is_counted check (attempt >= 1)
) with (fillfactor = 100, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
create index running_worker on asman.running (qid, worker_id);
comment on column asman.running.deadline is 'After this moment the job is taken back even from a worker that lives.';

-- Ended jobs, weekly partitions. Append-only: expiry drops a partition.
create table asman.finished (
  qid             uuid        not null,
  job_id          text        collate "C" not null,
  epoch           int8        not null,
  attempt         int2        not null,
  reason          text        not null,
  message         text,
  namespace       text,
  worker_id       text,
  definition_hash bytea       not null,
  is_true_id      bool        not null,
  is_debug        bool        not null,
  namespaces      text[]      not null,
  cpus            float8      not null,
  gpus            int4        not null,
  memory_bytes    int8        not null,
  tags            text[]      not null,
  queued_at       timestamptz not null,
  claimed_at      timestamptz,
  finished_at     timestamptz not null default clock_timestamp(),
  status_code     int8,
  duration_ms     float8,
  result          json,
  constraint finished_pkey primary key (job_id, qid, finished_at),
  constraint finished_reason_is_known check (reason in
    ('Success', 'Error', 'TimedOut', 'Cancelled', 'WorkerLost', 'JobReplacedByClient', 'Deleted')),
  constraint finished_success_was_claimed check (reason <> 'Success' or (claimed_at is not null and epoch > 0)),
  constraint finished_deleted_is_empty check (reason <> 'Deleted' or result is null)
) partition by range (finished_at);
create index finished_queue on asman.finished (qid, finished_at);
comment on column asman.finished.epoch is 'Epoch of the claim that ended it; 0 when it never ran.';
comment on column asman.finished.namespace is 'The namespace that let go last, when a cancel ended it.';
comment on column asman.finished.result is 'Outputs and error as the worker sent them; log lines are in log_chunk.';

-- Log lines, in the chunks that workers send. Partitioned by the day of the claim, so that the key is unique however long
-- the job runs: a repeated chunk is recognised across midnight too.
create table asman.log_chunk (
  qid        uuid        not null,
  job_id     text        collate "C" not null,
  epoch      int8        not null,
  seq        int4        not null,
  step       text        not null,
  n_lines    int4        not null,
  lines      json        not null,
  build_lines_after int8 not null,
  run_lines_after   int8 not null,
  bytes_after       int8 not null,
  claimed_at timestamptz not null,
  constraint log_chunk_pkey primary key (job_id, qid, epoch, seq, claimed_at),
  constraint log_chunk_step_is_known check (step in
    ('docker image pull', 'cloning repo', 'docker build', 'Running', 'docker image push')),
  constraint log_chunk_has_lines check (n_lines >= 1 and seq >= 0)
) partition by range (claimed_at);
comment on column asman.log_chunk.run_lines_after is
  'Lines of the job''s run log up to and with this chunk, over all attempts: a cursor finds its chunk without counting.';

-- Every transition, append-only, daily partitions.
-- Numbers commit out of order, so a cursor over the events of a queue is (xid, seq): rows with
-- xid < pg_snapshot_xmin(pg_current_snapshot()) are settled, and every row still to come has a greater xid.
-- A cursor over seq alone would skip a row whose number was drawn before another's and whose xid after it.
create table asman.event (
  qid       uuid        not null,
  seq       int8        not null default nextval('asman.event_seq'),
  xid       xid8        not null default pg_current_xact_id(),
  at        timestamptz not null default now(),
  job_id    text        collate "C" not null,
  kind      text        not null,
  reason    text,
  worker_id text,
  namespace text,
  attempt   int2,
  epoch     int8,
  message   text,
  constraint event_pkey primary key (qid, xid, seq, at),
  constraint event_kind_is_known check (kind in
    ('queued', 'joined', 'left', 'claimed', 'released', 'requeued', 'finished', 'deleted', 'expired')),
  constraint event_finish_has_a_reason check (kind not in ('finished', 'expired') or reason is not null)
) partition by range (at);
create index event_job on asman.event (job_id, qid);

-- Workers, one row each. No index on last_seen: heartbeats stay HOT updates within the half-empty page.
create table asman.worker (
  qid           uuid        not null,
  worker_id     text        not null,
  version       text        not null,
  executor      text        not null,
  cpus          float8      not null,
  gpus          int4        not null,
  memory_bytes  int8        not null,
  max_seconds   int4        not null,
  tags          text[]      not null,
  registered_at timestamptz not null default now(),
  last_seen     timestamptz not null default now(),
  constraint worker_pkey primary key (qid, worker_id)
) with (fillfactor = 50);

-- Deliveries owed to submitters: armed at submit, due at the event.
create table asman.webhook (
  id           int8        generated always as identity,
  qid          uuid        not null,
  job_id       text        collate "C" not null,
  queue        text        not null,
  namespace    text        not null,
  kind         text        not null,
  url          text        not null,
  payload      json,
  due_at       timestamptz,
  n_attempts   int4        not null default 0,
  armed_at     timestamptz not null default now(),
  constraint webhook_pkey primary key (id),
  constraint webhook_kind_is_known check (kind in ('queued', 'finished'))
);
create index webhook_due on asman.webhook (due_at) where due_at is not null;
create index webhook_job on asman.webhook (job_id, qid);
comment on column asman.webhook.queue is 'The one place that keeps a queue''s name: the delivery has to say it.';

-- Policies. A queue without a row here has the defaults.
create table asman.queue (
  qid                uuid        not null,
  is_paused          bool        not null default false,
  owner_token_hash   bytea,
  worker_token_hash  bytea,
  submit_token_hash  bytea,
  read_token_hash    bytea,
  webhook_secret     text,
  n_queued_max       int4,
  n_namespace_max    int4,
  max_seconds        int4,
  retention_days     int4,
  updated_at         timestamptz not null default now(),
  constraint queue_pkey primary key (qid),
  constraint queue_limits_are_positive check (n_queued_max > 0 and n_namespace_max > 0 and max_seconds > 0 and retention_days > 0)
);
