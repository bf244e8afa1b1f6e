-- V004: why a job ended or was given back, as programs read it, and how often it was given back.
--
-- why:      only an end that is the job's own may answer later submissions, and a job that several workers gave back must end
-- expand:   new columns are null or have a constant default, so that a process of the release before goes on inserting. What it
--           claims or gives back loses its count of releases
-- locks:    access exclusive on queued, running, finished and event for a moment: no rewrite
-- undo:     write a new migration; the columns may stay
--
-- Rows from before have no code and no fault: of these only a Success answers a later submission.
alter table asman.finished add column code text, add column fault text;
alter table asman.finished add constraint finished_fault_is_known
  check (fault in ('job', 'machine', 'network', 'settings', 'cluster')) not valid;
alter table asman.finished validate constraint finished_fault_is_known;
comment on column asman.finished.code is 'Why it ended, as programs read it; null for a success, and where the worker did not say.';
comment on column asman.finished.fault is
  'Whose fault that is. An Error or TimedOut answers later submissions only when it is the job''s.';

alter table asman.event add column code text, add column fault text;

alter table asman.queued add column n_released int2 not null default 0;
alter table asman.running add column n_released int2 not null default 0;
comment on column asman.queued.n_released is 'How often a worker gave it back for a reason that was not the job''s; the fifth time ends it.';

-- They get a parameter. Its default lets a process of the release before go on calling them.
drop function if exists asman.submit_within_limits(uuid[], text[], bytea[], text[], text[], bool[], bool[], int8[], int2[], float8[],
  int4[], int8[], int4[], int4[], text[], bool[], text[], text[]);
drop function if exists asman.submit(uuid[], text[], bytea[], text[], text[], bool[], bool[], int8[], int2[], float8[],
  int4[], int8[], int4[], int4[], text[], bool[], text[], text[]);
