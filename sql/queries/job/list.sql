-- The container jobs of one queue: running ones, those next to run, and those finished lately whose result answers later submissions.
-- Other items of the task-queue API are none of a browser's business, and there may be very many.
-- in:    $1 qid uuid, $2 n_max int8 (of each kind), $3 finished_seconds float8: how long a finished job stays listed
-- out:   qid uuid, job_id text, state text, queued_ms int8, since_ms int8, worker_id text, namespaces text[], tags text[], cpus float8,
--        gpus int4, memory_bytes int8, is_debug bool, reason text, attempt int2, priority int2, seq int8,
--        required_seconds int4, n_released int2
-- locks: none
-- index: running_worker, queued_pkey, finished_queue
(select r.qid, r.job_id, 'Running' as state, (extract(epoch from r.queued_at) * 1000)::int8 as queued_ms, (extract(epoch from r.claimed_at) * 1000)::int8 as since_ms,
  r.worker_id, r.namespaces, r.tags, r.cpus, r.gpus, r.memory_bytes, r.is_debug, null::text as reason, r.attempt, r.priority, r.seq, r.required_seconds, r.n_released
 from asman.running r where r.qid = $1 and not r.is_item limit $2)
union all
(select q.qid, q.job_id, 'Queued' as state, (extract(epoch from q.queued_at) * 1000)::int8 as queued_ms, (extract(epoch from q.queued_at) * 1000)::int8 as since_ms,
  null::text as worker_id, q.namespaces, q.tags, q.cpus, q.gpus, q.memory_bytes, q.is_debug, null::text as reason, q.attempt, q.priority, q.seq, q.required_seconds, q.n_released
 from asman.queued q where q.qid = $1 and not q.is_item order by q.class, q.priority, q.seq limit $2)
union all
(select f.qid, f.job_id, 'Finished' as state, (extract(epoch from f.queued_at) * 1000)::int8 as queued_ms, (extract(epoch from f.finished_at) * 1000)::int8 as since_ms,
  f.worker_id, f.namespaces, f.tags, f.cpus, f.gpus, f.memory_bytes, f.is_debug, f.reason, f.attempt, 0::int2, 0::int8, f.required_seconds, 0::int2
 from asman.finished f
 where f.qid = $1 and not f.is_item and f.finished_at > now() - make_interval(secs => $3) and f.reason in ('Success', 'Error', 'TimedOut')
 order by f.finished_at desc limit $2);
