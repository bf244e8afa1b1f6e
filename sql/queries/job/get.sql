-- The present state of these jobs. If a job ended and was queued again, its newest state counts.
-- in:    $1 qid uuid[], $2 job_id text[]
-- out:   qid uuid, job_id text, state text, queued_ms int8, since_ms int8, worker_id text, namespaces text[], tags text[], cpus float8,
--        gpus int4, memory_bytes int8, is_debug bool, reason text, attempt int2, is_item bool, namespace text,
--        snapshot text
-- locks: none
-- index: job_name, running_pkey, queued_job_key, finished_pkey, class_class
select n.*, pg_current_snapshot()::text as snapshot
from unnest($1::uuid[], $2::text[]) as w (qid, job_id)
cross join lateral (
  (select r.qid, r.job_id, 'Running' as state, (extract(epoch from r.queued_at) * 1000)::int8 as queued_ms, (extract(epoch from r.claimed_at) * 1000)::int8 as since_ms,
  r.worker_id, r.namespaces, r.tags, r.cpus, r.gpus, r.memory_bytes, r.is_debug, null::text as reason, r.attempt, r.is_item, null::text as namespace
   from asman.running_named(w.qid, w.job_id) r)
  union all
  (select q.qid, q.job_id, 'Queued' as state, (extract(epoch from q.queued_at) * 1000)::int8 as queued_ms, (extract(epoch from q.queued_at) * 1000)::int8 as since_ms,
  null::text as worker_id, q.namespaces, q.tags, q.cpus, q.gpus, q.memory_bytes, q.is_debug, null::text as reason, q.attempt, q.is_item, null::text as namespace
   from asman.queued_named(w.qid, w.job_id) q)
  union all
  (select f.qid, f.job_id, 'Finished' as state, (extract(epoch from f.queued_at) * 1000)::int8 as queued_ms, (extract(epoch from f.finished_at) * 1000)::int8 as since_ms,
  f.worker_id, f.namespaces, f.tags, f.cpus, f.gpus, f.memory_bytes, f.is_debug, f.reason, f.attempt, f.is_item, f.namespace
   from asman.finished_named(w.qid, w.job_id) f)
  limit 1) n;
