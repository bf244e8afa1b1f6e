-- V010: what does not change of a job is stored once, and the rows that move between tables are narrow.
--
-- why:      a claim and its end wrote 2,590 bytes of WAL and took 45 to 54 microseconds of the server's time, because each wrote the
--           job's id, definition, requirements and namespaces again, and two index entries for each event. Now they write about 900
--           bytes in batches
-- contract: A PROCESS OF THE RELEASE BEFORE DOES NOT WORK WITH THIS SCHEMA. Stop the API before, migrate, start the new one. Workers
--           may keep running: they try again until the API answers, and their claims stay theirs
-- locks:    access exclusive on all tables of jobs until the end. Each row of finished and event is written once: a million finished
--           jobs with their events take about a minute
-- undo:     restore a backup
--
-- `job` has one row for each job of a queue, with an 8-byte key. `queued`, `running` and `finished` have that key and what differs.
-- `class` has what the jobs of a class need. An event row has all jobs that one worker claimed, or ended alike, in one statement.

-- What jobs need of a worker. All jobs of a class need exactly the same. No key: two transactions that bring the same class must not
-- wait for each other. Each stores a row, the rows are alike, and maintain() removes the second.
create table asman.class (
  class            int8        not null,
  kind             text        not null,
  cpus             float8      not null,
  gpus             int4        not null,
  memory_bytes     int8        not null,
  required_seconds int4        not null,
  tags             text[]      not null,
  labels           text[]      not null,
  used_at          timestamptz not null default now(),
  constraint class_kind_is_known check (kind in ('container', 'item')),
  constraint class_needs_are_sane check (cpus >= 0 and gpus >= 0 and memory_bytes >= 0 and required_seconds >= 0)
);
create index class_class on asman.class (class);
create index class_used_at on asman.class (used_at);
comment on column asman.class.class is 'Hash of the needs; 0 for items of the task-queue API, which workers that run containers are not offered.';
comment on column asman.class.tags is 'The job''s tags; behind an empty text its implicit labels.';
comment on column asman.class.labels is
  'What a worker must carry: `tag:…` for each tag, and `executor:…`, `secret:…`, `platform:…`, `builds`: see asman.labels_of.';
comment on column asman.class.used_at is 'Last day somebody submitted a job of it; maintain() deletes what no job refers to any more.';

create sequence asman.job_key_seq;

-- One row for each job of a queue, from its first submission until nothing of it is stored any more. A job that is submitted again
-- after its end keeps its row and its key, with the values of the last submission.
create table asman.job (
  key             int8        not null default nextval('asman.job_key_seq'),
  qid             uuid        not null,
  job_id          text        collate "C" not null,
  definition_hash bytea,
  class           int8        not null,
  priority        int2        not null default 0,
  seq             int8        not null default nextval('asman.queued_seq'),
  max_seconds     int4        not null,
  is_true_id      bool        not null,
  is_debug        bool        not null default false,
  namespaces      text[]      not null,
  queued_at       timestamptz not null default now(),
  constraint job_pkey primary key (key),
  constraint job_id_length check (length(job_id) between 1 and 255 or (class = 0 and length(job_id) <= 1024)),
  constraint job_id_is_a_segment check (class = 0 or job_id not in ('.', '..')),
  constraint job_namespaces_are_bounded check (cardinality(namespaces) <= 1000),
  constraint job_max_seconds_is_sane check (max_seconds >= 0)
) with (fillfactor = 95, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
create index job_queued_at on asman.job using brin (queued_at) with (pages_per_range = 32, autosummarize = on);
alter sequence asman.job_key_seq owned by asman.job.key;
comment on column asman.job.definition_hash is 'Null for a job of which only events are stored.';
comment on column asman.job.priority is 'Lower runs first; then the order of submission.';
comment on column asman.job.seq is 'Its place in the queue.';
comment on column asman.job.max_seconds is 'Longest run that definition and submitter allow.';
comment on column asman.job.is_true_id is 'Whether job_id is the hash of the definition, so that it may be found without its queue.';
comment on column asman.job.namespaces is 'The namespaces that it is in; of a job that has ended, those that it was in.';
comment on column asman.job.queued_at is 'When it was last submitted.';

-- The tables of before make room for those of now.
alter table asman.queued rename to old_queued;
alter table asman.running rename to old_running;
alter table asman.finished rename to old_finished;
alter table asman.event rename to old_event;
alter table asman.waiting_class rename to old_waiting_class;
drop trigger queued_note_classes on asman.old_queued;
drop trigger running_epochs on asman.old_running;
drop trigger if exists finished_makes_webhooks_due on asman.old_finished;
alter table asman.old_queued drop constraint queued_pkey;
drop index asman.queued_job;
alter table asman.old_running drop constraint running_pkey;
drop index asman.running_worker;
alter table asman.old_finished drop constraint finished_pkey;
drop index asman.finished_queue, asman.finished_failed;
alter table asman.old_event drop constraint event_pkey;
drop index asman.event_job;
drop table asman.old_waiting_class;

insert into asman.class (class, kind, cpus, gpus, memory_bytes, required_seconds, tags, labels)
values (0, 'item', 0, 0, 0, 0, '{}', '{}');

create or replace function pg_temp.class_of(cpus float8, gpus int4, memory_bytes int8, required_seconds int4, tags text[]) returns int8
language sql immutable as $$
select ('x' || encode(substring(sha256(convert_to(concat_ws('|', cpus::text::numeric::text, gpus, memory_bytes, required_seconds,
  array_to_string(tags, '/')), 'UTF8')) for 8), 'hex'))::bit(64)::int8
$$;

-- The newest place of each job counts: it runs, or it waits, or its last end.
create temporary table place on commit drop as
select distinct on (p.job_id, p.qid) p.* from (
  select r.qid, r.job_id, 0 as rank, r.claimed_at as at, r.definition_hash, r.class, r.priority, r.seq, r.max_seconds, r.is_true_id,
    r.is_debug, r.is_item, r.namespaces, r.cpus, r.gpus, r.memory_bytes, r.required_seconds, r.tags, r.queued_at
  from asman.old_running r
  union all
  select q.qid, q.job_id, 0, q.queued_at, q.definition_hash, q.class, q.priority, q.seq, q.max_seconds, q.is_true_id,
    q.is_debug, q.is_item, q.namespaces, q.cpus, q.gpus, q.memory_bytes, q.required_seconds, q.tags, q.queued_at
  from asman.old_queued q
  union all
  select f.qid, f.job_id, 1, f.finished_at, f.definition_hash, f.class, 0, 0, f.max_seconds, f.is_true_id,
    f.is_debug, f.is_item, f.namespaces, f.cpus, f.gpus, f.memory_bytes, f.required_seconds, f.tags, f.queued_at
  from asman.old_finished f
  union all
  select e.qid, e.job_id, 2, e.at, null, 0, 0, 0, 0, false, false, true, '{}', 0, 0, 0, 0, '{}', e.at
  from asman.old_event e) p
order by p.job_id, p.qid, p.rank, p.at desc;
update pg_temp.place p set class = case when p.is_item then 0 else pg_temp.class_of(p.cpus, p.gpus, p.memory_bytes, p.required_seconds, p.tags) end
where p.is_item <> (p.class = 0);

insert into asman.class (class, kind, cpus, gpus, memory_bytes, required_seconds, tags, labels)
select distinct on (p.class) p.class, 'container', p.cpus, p.gpus, p.memory_bytes, p.required_seconds, p.tags,
  array(select 'tag:' || t from unnest(p.tags[:coalesce(array_position(p.tags, '') - 1, cardinality(p.tags))]) t)
    || case when '' = any (p.tags) then p.tags[array_position(p.tags, '') + 1:] else '{}' end
    || case when 'executor:process' = any (p.tags[coalesce(array_position(p.tags, '') + 1, 33):]) then '{}'
       else '{executor:container}'::text[] end
from pg_temp.place p where p.class <> 0 order by p.class;

insert into asman.job (qid, job_id, definition_hash, class, priority, seq, max_seconds, is_true_id, is_debug, namespaces, queued_at)
select p.qid, p.job_id, p.definition_hash, p.class, p.priority, p.seq, p.max_seconds, p.is_true_id, p.is_debug, p.namespaces, p.queued_at
from pg_temp.place p order by p.queued_at;
-- Not (qid, job_id): in that order the planner would serve reads of a queue from it.
create unique index job_name on asman.job (job_id, qid);
analyze asman.job;

-- Waiting jobs. All rows of one class need exactly the same of a worker, so the first row of a class decides for all of them, and a
-- job that no present worker can run never stands before those behind it.
create table asman.queued (
  qid        uuid        not null,
  class      int8        not null,
  seq        int8        not null,
  job_key    int8        not null,
  priority   int2        not null,
  attempt    int2        not null default 0,
  n_lost     int2        not null default 0,
  n_released int2        not null default 0,
  not_before timestamptz,
  constraint queued_pkey primary key (qid, class, priority, seq)
) with (fillfactor = 100, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
comment on column asman.queued.n_lost is 'Workers lost while they ran it; the third ends it.';
comment on column asman.queued.n_released is 'How often a worker gave it back for a reason that was not the job''s; the fifth time ends it.';
insert into asman.queued (qid, class, seq, job_key, priority, attempt, n_lost, n_released, not_before)
select q.qid, j.class, q.seq, j.key, q.priority, q.attempt, q.n_lost, q.n_released, q.not_before
from asman.old_queued q join asman.job j on j.job_id = q.job_id and j.qid = q.qid
where not exists (select from asman.old_running r where r.job_id = q.job_id and r.qid = q.qid);
create unique index queued_job_key on asman.queued (job_key);

-- Live claims.
create table asman.running (
  job_key     int8        not null,
  epoch       int8        not null,
  claimed_at  timestamptz not null default now(),
  deadline    timestamptz not null,
  qid         uuid        not null,
  worker_id   text        not null,
  attempt     int2        not null,
  n_lost      int2        not null default 0,
  n_released  int2        not null default 0,
  by_deadline bool        not null default false,
  constraint running_pkey primary key (job_key),
  constraint running_attempt_is_counted check (attempt >= 1)
) with (fillfactor = 100, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
comment on column asman.running.deadline is 'After this moment the job is taken back even from a worker that lives.';
comment on column asman.running.by_deadline is
  'The claim lives until its deadline, infinity included, whether or not a worker of its name sends heartbeats.';
insert into asman.running (job_key, epoch, claimed_at, deadline, qid, worker_id, attempt, n_lost, n_released, by_deadline)
select j.key, r.epoch, r.claimed_at, r.deadline, r.qid, r.worker_id, r.attempt, r.n_lost, r.n_released, r.by_deadline
from asman.old_running r join asman.job j on j.job_id = r.job_id and j.qid = r.qid;
create index running_worker on asman.running (qid, worker_id);

-- Ended jobs, weekly partitions. Append-only: expiry drops a partition.
create table asman.finished (
  job_key     int8        not null,
  epoch       int8        not null,
  queued_at   timestamptz not null,
  claimed_at  timestamptz,
  finished_at timestamptz not null default clock_timestamp(),
  status_code int8,
  duration_ms float8,
  qid         uuid        not null,
  attempt     int2        not null,
  is_item     bool        not null,
  reason      text        not null,
  worker_id   text,
  code        text,
  fault       text,
  namespace   text,
  message     text,
  result      json,
  constraint finished_pkey primary key (job_key, finished_at),
  constraint finished_reason_is_known check (reason in
    ('Success', 'Error', 'TimedOut', 'Cancelled', 'WorkerLost', 'JobReplacedByClient', 'Deleted')),
  constraint finished_fault_is_known check (fault in ('job', 'machine', 'network', 'settings', 'cluster')),
  constraint finished_success_was_claimed check (reason <> 'Success' or (claimed_at is not null and epoch > 0)),
  constraint finished_deleted_is_empty check (reason <> 'Deleted' or result is null)
) partition by range (finished_at);
-- With the reason, so that the outcomes of a queue are counted from the index alone.
create index finished_queue on asman.finished (qid, finished_at) include (reason);
create index finished_failed on asman.finished (qid, finished_at)
  where reason in ('Error', 'TimedOut', 'Cancelled') and not is_item;
comment on column asman.finished.epoch is 'Epoch of the claim that ended it; 0 when it never ran.';
comment on column asman.finished.namespace is 'The namespace that left it last, when a cancel ended it.';
comment on column asman.finished.result is 'Outputs and error as the worker sent them; log lines are in log_chunk.';
comment on column asman.finished.code is 'Why it ended, as programs read it; null for a success, and where the worker did not say.';
comment on column asman.finished.fault is
  'Whose fault that is. An Error or TimedOut answers later submissions only when it is the job''s.';

-- Every transition, append-only, daily partitions. A row has one job, or all jobs that one worker claimed, or ended alike, in one
-- statement. Numbers commit out of order, so a cursor over the events of a queue is (xid, number): rows with
-- xid < pg_snapshot_xmin(pg_current_snapshot()) are settled, and every row still to come has a greater xid. The number of the
-- n-th job of a row is seq * 1024 + n - 1.
create table asman.event (
  qid        uuid        not null,
  seq        int8        not null default nextval('asman.event_seq'),
  xid        xid8        not null default pg_current_xact_id(),
  at         timestamptz not null default now(),
  kind       text        not null,
  job_keys   int8[]      not null,
  epochs     int8[],
  attempt    int2,
  worker_id  text,
  reason     text,
  code       text,
  fault      text,
  namespace  text,
  claimed_at timestamptz,
  message    text,
  past       json,
  constraint event_kind_is_known check (kind in
    ('queued', 'joined', 'left', 'claimed', 'released', 'requeued', 'finished', 'deleted', 'expired', 'removed')),
  constraint event_finish_has_a_reason check (kind not in ('finished', 'expired') or reason is not null),
  constraint event_jobs_are_bounded check (cardinality(job_keys) between 1 and 1024),
  constraint event_jobs_are_alike check (cardinality(job_keys) = 1 or kind in ('claimed', 'finished'))
) partition by range (at);
create index event_queue on asman.event (qid, xid, seq);
-- The history of a job: claims and ends are read from the rows of the job itself. Those that another system recorded have no epochs.
create index event_job on asman.event ((job_keys[1])) where kind not in ('claimed', 'finished', 'expired') or epochs is null;
comment on column asman.event.claimed_at is 'Of a claim that was given back or lost: when it began.';
comment on column asman.event.past is 'Of a job whose rows in running and finished were deleted: its claims and ends, see asman.past_of.';

-- The same partitions as before, and the same numbers of transactions: see asman.notice_restore.
do $$
declare
  c record;
begin
  execute format('alter table asman.event alter column xid set default %s', (
    select pg_get_expr(d.adbin, d.adrelid) from pg_attrdef d join pg_attribute a on (a.attrelid, a.attnum) = (d.adrelid, d.adnum)
    where d.adrelid = 'asman.old_event'::regclass and a.attname = 'xid'));
  for c in
    select p.relname as parent, k.relname as child, pg_get_expr(k.relpartbound, k.oid) as bound
    from pg_inherits h join pg_class p on p.oid = h.inhparent join pg_class k on k.oid = h.inhrelid
    where p.oid in ('asman.old_finished'::regclass, 'asman.old_event'::regclass)
  loop
    execute format('alter table asman.%I rename to %I', c.child, 'old_' || c.child);
    execute format('create table asman.%I partition of asman.%I %s', c.child, substring(c.parent from 5), c.bound);
    if c.bound <> 'DEFAULT' then
      execute format('alter table asman.%I set (autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.1)', c.child);
    end if;
  end loop;
end $$;

insert into asman.finished (job_key, epoch, queued_at, claimed_at, finished_at, status_code, duration_ms, qid, attempt, is_item, reason,
  worker_id, code, fault, namespace, message, result)
select j.key, f.epoch, f.queued_at, f.claimed_at, f.finished_at, f.status_code, f.duration_ms, f.qid, f.attempt, f.is_item, f.reason,
  f.worker_id, coalesce(f.code, case when f.message = 'it waited too long for a worker' and f.epoch = 0 then 'expired' end), f.fault,
  f.namespace, f.message, f.result
from asman.old_finished f join asman.job j on j.job_id = f.job_id and j.qid = f.qid;

insert into asman.event (qid, seq, xid, at, kind, job_keys, epochs, attempt, worker_id, reason, code, fault, namespace, message)
select e.qid, e.seq, e.xid, e.at, e.kind, array[j.key],
  case when e.epoch is not null or (e.kind in ('claimed', 'finished', 'expired') and e.message like 'imported event%' is not true)
    then array[e.epoch] end, e.attempt, e.worker_id,
  e.reason, e.code, e.fault, e.namespace, e.message
from asman.old_event e join asman.job j on j.job_id = e.job_id and j.qid = e.qid;

drop table asman.old_queued, asman.old_running, asman.old_finished, asman.old_event cascade;

-- One row a class of waiting jobs of a queue: from this place on (priority, seq), jobs of this class may wait. It is a lower bound:
-- claims leave it alone, and asman.tidy_classes moves it up or takes it away. A class may have several rows, of which the first
-- counts: nobody who queues the first job of a class ever waits for another who does the same.
create table asman.waiting_class (
  qid         uuid        not null,
  class       int8        not null,
  priority    int2        not null,
  seq         int8        not null,
  is_runnable bool        not null default true,
  checked_at  timestamptz not null default '-infinity',
  -- The queue, while workers are offered the class. A column of its own, so that no other index can serve claims, whatever the
  -- statistics say: the others lead past the classes that nobody can run.
  offered_qid uuid generated always as (case when is_runnable and class <> 0 then qid end) stored,
  -- The key begins with the class, so that no other index can serve a look-up of one class, whatever the statistics say.
  constraint waiting_class_pkey primary key (class, qid, priority, seq)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
-- What claims of workers walk along, …
create index waiting_class_offered on asman.waiting_class (offered_qid, priority, seq) where offered_qid is not null;
-- … what claims of items and listings walk along, …
create index waiting_class_place on asman.waiting_class (qid, priority, seq);
-- … and what maintenance looks at next.
create index waiting_class_checked on asman.waiting_class (checked_at);
comment on column asman.waiting_class.is_runnable is
  'False when no worker present could run it even with nothing else to do. A new class counts as runnable until that is known.';
insert into asman.waiting_class (qid, class, priority, seq)
select distinct on (q.qid, q.class) q.qid, q.class, q.priority, q.seq from asman.queued q order by q.qid, q.class, q.priority, q.seq;

create trigger queued_note_classes after insert on asman.queued referencing new table as fresh
  for each statement execute function asman.note_classes();
create trigger running_epochs before insert on asman.running for each statement execute function asman.guard_epochs();

-- Deliveries are found by the key of their job.
alter table asman.webhook add column job_key int8;
update asman.webhook w set job_key = j.key from asman.job j where j.job_id = w.job_id and j.qid = w.qid;
delete from asman.webhook w where w.job_key is null;
alter table asman.webhook alter column job_key set not null;
drop index asman.webhook_untold, asman.webhook_job;
create index webhook_untold on asman.webhook (job_key) where due_at is not null;
-- A submission that is sent again owes nothing new.
create unique index webhook_job on asman.webhook (job_key, namespace, kind, md5(url)) where due_at is null;

-- Policies of queues are called so.
alter table asman.queue rename to policy;
alter table asman.policy rename constraint queue_pkey to policy_pkey;
alter table asman.policy rename constraint queue_limits_are_positive to policy_limits_are_positive;

-- A submission, as asman.submit takes it. job_id: as asman.row_ids returns it; queue: its name where there are callbacks, else null;
-- callbacks: JSON of `control.callbacks`, or null; is_again: whether to run the job again in spite of an earlier result, null: no;
-- sent_id: the id that the submitter uses for the job, null: job_id; tags: joined by `/`.
create type asman.submission as (
  qid uuid, job_id text, hash bytea, body text, namespace text, is_true_id bool, is_debug bool, class int8, priority int2,
  cpus float8, gpus int4, memory_bytes int8, required_seconds int4, max_seconds int4, tags text, queue text, callbacks text,
  is_again bool, sent_id text);

-- Their procedures are made after the migrations, with other parameters.
drop function if exists asman.submit_within_limits(uuid[], text[], bytea[], text[], text[], bool[], bool[], int8[], int2[], float8[],
  int4[], int8[], int4[], int4[], text[], bool[], text[], text[], bool[], text[]);
drop function if exists asman.submit(uuid[], text[], bytea[], text[], text[], bool[], bool[], int8[], int2[], float8[],
  int4[], int8[], int4[], int4[], text[], bool[], text[], text[], bool[], text[]);
drop function if exists asman.over_limit(uuid[], text[], text[]);
drop function if exists asman.items(uuid);

-- A process of the release before is not ready any more: it asks here whether the procedures of now work with it.
delete from asman.schema_text;
