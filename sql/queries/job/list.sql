-- The container jobs of one queue: those that run, those that will run next, those that succeeded lately and those that failed
-- lately. A job may have two rows: the one that waits or runs is then newer than the one that has ended. A job that failed and has
-- run again since is not among the failed ones. Among the waiting jobs the classes that a connected worker can run come first, and each
-- class has its share of the listing. Other items of the task-queue API are left out: browsers do not show them, and there may be
-- very many.
-- in:    $1 qid uuid, $2 n_max int8 (of each kind), $3 finished_seconds float8, $4 failed_seconds float8: how long a job that
--        succeeded, or failed, stays listed, $5 n_failed int8: most of the latter
-- out:   qid uuid, job_id text, state text, queued_ms int8, since_ms int8, worker_id text, namespaces text[], tags text[], cpus float8,
--        gpus int4, memory_bytes int8, is_debug bool, reason text, attempt int2, priority int2, seq int8,
--        required_seconds int4, n_released int2
-- locks: none
-- index: running_worker, waiting_class_offered, waiting_class_place, waiting_class_pkey, queued_pkey, finished_queue, finished_failed, finished_pkey, job_pkey, class_class
with class as materialized (
  select k.class from (
    (select c.class, c.priority, c.seq from asman.waiting_class c where c.offered_qid = $1
     order by c.priority, c.seq limit $2)
    union all
    (select c.class, c.priority, c.seq from asman.waiting_class c where c.qid = $1 and not c.is_runnable and c.class <> 0
     order by c.priority, c.seq limit $2)) k
  where (select true from asman.waiting_class d where d.class = k.class and (d.qid, d.priority, d.seq) >= ($1, '-32768', 0)
         and (d.qid, d.priority, d.seq) < ($1, k.priority, k.seq) limit 1) is null)
(select r.qid, r.job_id, 'Running' as state, (extract(epoch from r.queued_at) * 1000)::int8 as queued_ms, (extract(epoch from r.claimed_at) * 1000)::int8 as since_ms,
  r.worker_id, r.namespaces, r.tags, r.cpus, r.gpus, r.memory_bytes, r.is_debug, null::text as reason, r.attempt, r.priority, r.seq, r.required_seconds, r.n_released
 from asman.running_job r where r.qid = $1 and not r.is_item limit $2)
union all
(select q.qid, q.job_id, 'Queued' as state, (extract(epoch from q.queued_at) * 1000)::int8 as queued_ms, (extract(epoch from q.queued_at) * 1000)::int8 as since_ms,
  null::text as worker_id, q.namespaces, q.tags, q.cpus, q.gpus, q.memory_bytes, q.is_debug, null::text as reason, q.attempt, q.priority, q.seq, q.required_seconds, q.n_released
 from class c cross join lateral (
   select w.* from asman.queued_job w where w.qid = $1 and w.class = c.class
   order by w.class, w.priority, w.seq limit greatest(100, $2 / greatest(1, (select count(*) from class)))) q
 limit $2)
union all
(select f.qid, f.job_id, 'Finished' as state, (extract(epoch from f.queued_at) * 1000)::int8 as queued_ms, (extract(epoch from f.finished_at) * 1000)::int8 as since_ms,
  f.worker_id, f.namespaces, f.tags, f.cpus, f.gpus, f.memory_bytes, f.is_debug, f.reason, f.attempt, 0::int2, 0::int8, f.required_seconds, 0::int2
 from asman.finished_job f
 where f.qid = $1 and not f.is_item and f.finished_at > now() - make_interval(secs => $3) and f.reason = 'Success'
 order by f.finished_at desc limit $2)
union all
(select f.qid, f.job_id, 'Finished' as state, (extract(epoch from f.queued_at) * 1000)::int8 as queued_ms, (extract(epoch from f.finished_at) * 1000)::int8 as since_ms,
  f.worker_id, f.namespaces, f.tags, f.cpus, f.gpus, f.memory_bytes, f.is_debug, f.reason, f.attempt, 0::int2, 0::int8, f.required_seconds, 0::int2
 from (
   select e.* from asman.finished_job e
   where e.qid = $1 and not e.is_item and e.finished_at > now() - make_interval(secs => $4)
     and e.reason in ('Error', 'TimedOut', 'Cancelled')
   order by e.finished_at desc limit $5) f
 where (select true from asman.finished g where g.job_key = f.job_key and g.finished_at > f.finished_at
          and g.finished_at > now() - make_interval(secs => $4) limit 1) is null);
