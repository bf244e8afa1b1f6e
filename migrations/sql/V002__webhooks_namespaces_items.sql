-- V002: deliveries owed to submitters, namespaces that hold one live job, and items of the task-queue API.
--
-- expand:   new columns have defaults, so that a process of the release before goes on inserting
-- locks:    access exclusive on queued, running, finished and event for a moment: no rewrite, since every default is constant.
--           The new index of finished is built while inserts wait: on a large database build it partition by partition before
-- undo:     write a new migration
--
-- `webhook` was never written before, so it is made anew.

-- An item of the task-queue API that is no container job is a job like any other, but for whom it is offered to.
alter table asman.queued add column is_item bool not null default false;
alter table asman.queued drop constraint queued_job_id_length;
alter table asman.queued add constraint queued_job_id_length
  check (length(job_id) between 1 and 255 or (is_item and length(job_id) <= 1024)) not valid;
alter table asman.queued validate constraint queued_job_id_length;
comment on column asman.queued.is_item is
  'An item of the task-queue API that is no container job: workers that run containers are not offered it.';

alter table asman.running
  add column is_item bool not null default false,
  add column by_deadline bool not null default false;
comment on column asman.running.by_deadline is
  'The claim lives until its deadline, infinity included, whether or not a worker of its name sends heartbeats.';

-- Enough to queue a finished item again.
alter table asman.finished
  add column is_item bool not null default false,
  add column class int8 not null default 0,
  add column required_seconds int4 not null default 0,
  add column max_seconds int4 not null default 0;

-- With the reason, so that the outcomes of a queue are counted from the index alone.
drop index asman.finished_queue;
create index finished_queue on asman.finished (qid, finished_at) include (reason);

alter table asman.event drop constraint event_kind_is_known;
alter table asman.event add constraint event_kind_is_known check (kind in
  ('queued', 'joined', 'left', 'claimed', 'released', 'requeued', 'finished', 'deleted', 'expired', 'removed')) not valid;
alter table asman.event validate constraint event_kind_is_known;

-- Namespaces other than `_` hold at most one live job: this is the newest one that each held.
create table asman.hold (
  qid       uuid        not null,
  namespace text        not null,
  job_id    text        collate "C" not null,
  since     timestamptz not null default now(),
  constraint hold_pkey primary key (qid, namespace),
  constraint hold_is_not_shared check (namespace not in ('_', '*'))
) with (fillfactor = 70);
create index hold_since on asman.hold (since);

-- Holds that a newer job of the same namespace ends when they are due: at once, or after a grace for jobs that have run for long.
create table asman.supersession (
  qid       uuid        not null,
  job_id    text        collate "C" not null,
  namespace text        not null,
  due_at    timestamptz not null,
  constraint supersession_pkey primary key (qid, job_id, namespace)
);
create index supersession_due on asman.supersession (due_at);

-- Deliveries owed to submitters: armed at submit, due at the event, gone when the receiver took them.
drop table asman.webhook;
create table asman.webhook (
  id          uuid        not null default gen_random_uuid(),
  qid         uuid        not null,
  job_id      text        collate "C" not null,
  queue       text        not null,
  namespace   text        not null,
  kind        text        not null,
  url         text        not null,
  host        text        collate "C" not null
    generated always as (left(substring(url from '^[^:]+://(\[[^]]*\]|[^/:?#]*)'), 255)) stored,
  payload     json,
  armed_at    timestamptz not null default now(),
  due_at      timestamptz,
  expires_at  timestamptz,
  reason      text,
  status_code int8,
  n_attempts  int4        not null default 0,
  last_error  text,
  constraint webhook_pkey primary key (id),
  constraint webhook_kind_is_known check (kind in ('queued', 'finished')),
  constraint webhook_due_expires check ((due_at is null) = (expires_at is null)),
  constraint webhook_finished_has_a_reason check (kind <> 'finished' or due_at is null or reason is not null),
  constraint webhook_queued_is_due check (kind <> 'queued' or due_at is not null),
  constraint webhook_error_follows_a_try check (last_error is null or n_attempts > 0)
) with (fillfactor = 100, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
-- By host first: a receiver that is slow, or away with ten thousand deliveries due, must not stand before the others.
create index webhook_due on asman.webhook (host, due_at) where due_at is not null;
create index webhook_untold on asman.webhook (job_id, qid) where due_at is not null;
-- A submission that is sent again owes nothing new.
create unique index webhook_job on asman.webhook (job_id, qid, namespace, kind, md5(url)) where due_at is null;
comment on column asman.webhook.id is 'The delivery''s name on the wire, the same at every try.';
comment on column asman.webhook.queue is 'The one place that keeps a queue''s name: the delivery has to say it.';
comment on column asman.webhook.host is 'Whose turn it is. URLs are stored in their canonical form.';
comment on column asman.webhook.due_at is 'Next try; null while the job has not ended.';
