-- Functions that find the rows of one job by its name, and views that join the rows of all jobs with their job and their class. Every
-- statement uses these, so that the way from a job's name to its rows is written once. They are inlined into the statements.

-- The row of a job in asman.job.
-- index: job_name. For a range between two equal rows the planner uses this index, whatever the statistics say. For an equality of
--        two columns it could choose another index, or a scan. The limit keeps this look-up at its position in the order of joins
create or replace function asman.job_named(qid_in uuid, job_id_in text) returns setof asman.job
language sql stable rows 1 as $$
  select j.* from asman.job j where (j.job_id, j.qid) between (job_id_in, qid_in) and (job_id_in, qid_in) limit 1
$$;

-- The key of a job: null when the queue does not know it. For procedures, where a call costs little beside the rest.
create or replace function asman.key_of(qid_in uuid, job_id_in text) returns int8
language plpgsql stable set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
begin
  return (select j.key from asman.job j where (j.job_id, j.qid) between (job_id_in, qid_in) and (job_id_in, qid_in));
end $$;

-- The claims and ends of a job as its history shows them, from its rows in running and finished. A statement that deletes such rows
-- stores this value in its event.
-- out:   null when there is none
-- index: running_pkey, finished_pkey
create or replace function asman.past_of(key_in int8) returns json
language sql stable set enable_seqscan = off as $$
  select json_agg(p) from (
    select r.claimed_at as at, 'claimed' as kind, null::text as reason, r.worker_id, null::text as namespace, r.attempt, null::text as code,
      null::text as fault, null::text as message
    from asman.running r where r.job_key = key_in
    union all
    select f.claimed_at, 'claimed', null, f.worker_id, null, f.attempt, null, null, null
    from asman.finished f where f.job_key = key_in and f.claimed_at is not null and f.reason <> 'Deleted'
    union all
    select f.finished_at, case f.code when 'expired' then 'expired' else 'finished' end, f.reason, f.worker_id, f.namespace, f.attempt, f.code,
      f.fault, f.message
    from asman.finished f where f.job_key = key_in and f.reason <> 'Deleted') p
$$;

-- Three views: jobs that wait, jobs that run, and jobs that have ended. Each has all columns of the job and of its class. To read
-- one queue, add: where qid = …
create or replace view asman.queued_job as
select q.qid, j.job_id, q.job_key, q.class, q.priority, q.seq, j.definition_hash, j.is_true_id, j.is_debug, j.class = 0 as is_item,
  j.namespaces, c.cpus, c.gpus, c.memory_bytes, c.required_seconds, j.max_seconds, c.tags, q.attempt, q.n_lost, q.n_released,
  q.not_before, j.queued_at
from asman.queued q
cross join lateral (select k.* from asman.job k where k.key = q.job_key limit 1) j
cross join lateral (select k.* from asman.class k where k.class = q.class limit 1) c;

create or replace view asman.running_job as
select r.qid, j.job_id, r.job_key, r.epoch, r.worker_id, r.attempt, r.claimed_at, r.deadline, r.by_deadline, j.class, j.priority, j.seq,
  j.definition_hash, j.is_true_id, j.is_debug, j.class = 0 as is_item, j.namespaces, c.cpus, c.gpus, c.memory_bytes,
  c.required_seconds, j.max_seconds, c.tags, r.n_lost, r.n_released, j.queued_at
from asman.running r
cross join lateral (select k.* from asman.job k where k.key = r.job_key limit 1) j
cross join lateral (select k.* from asman.class k where k.class = j.class limit 1) c;

create or replace view asman.finished_job as
select f.qid, j.job_id, f.job_key, f.epoch, f.attempt, f.reason, f.code, f.fault, f.message, f.namespace, f.worker_id, j.class,
  j.definition_hash, j.is_true_id, j.is_debug, f.is_item, j.namespaces, c.cpus, c.gpus, c.memory_bytes, c.required_seconds,
  j.max_seconds, c.tags, f.queued_at, f.claimed_at, f.finished_at, f.status_code, f.duration_ms, f.result
from asman.finished f
cross join lateral (select k.* from asman.job k where k.key = f.job_key limit 1) j
cross join lateral (select k.* from asman.class k where k.class = j.class limit 1) c;

-- One job among those that wait: no row, or one.
-- index: job_name, queued_job_key, job_pkey, class_class
create or replace function asman.queued_named(qid_in uuid, job_id_in text) returns setof asman.queued_job
language sql stable rows 1 as $$
  select q.* from asman.job_named(qid_in, job_id_in) j
  cross join lateral (select k.* from asman.queued_job k where k.job_key = j.key limit 1) q
$$;

-- One job among those that run: no row, or one.
-- index: job_name, running_pkey, job_pkey, class_class
create or replace function asman.running_named(qid_in uuid, job_id_in text) returns setof asman.running_job
language sql stable rows 1 as $$
  select r.* from asman.job_named(qid_in, job_id_in) j
  cross join lateral (select k.* from asman.running_job k where k.job_key = j.key limit 1) r
$$;

-- The latest end of one job: no row, or one.
-- index: job_name, finished_pkey, job_pkey, class_class
create or replace function asman.finished_named(qid_in uuid, job_id_in text) returns setof asman.finished_job
language sql stable rows 1 as $$
  select f.* from asman.job_named(qid_in, job_id_in) j
  cross join lateral (select k.* from asman.finished_job k where k.job_key = j.key order by k.finished_at desc limit 1) f
$$;
