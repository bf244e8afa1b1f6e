-- The jobs that a namespace of a queue holds or held, the last submitted first, among the live jobs and the last thousand that
-- ended.
-- in:    $1 qid uuid, $2 namespace text, $3 n_max int8
-- out:   job_id text, state text, reason text, status_code int8, queued_ms int8, finished_ms int8
-- locks: none
-- index: finished_queue, queued_pkey, running_worker, job_pkey, class_class: reads the live jobs of the queue and a thousand that ended
with ended as (
  select f.job_id, f.reason, f.status_code, f.queued_at, f.finished_at, f.namespaces, f.namespace
  from asman.finished_job f where f.qid = $1 and not f.is_item order by f.finished_at desc limit 1000)
select a.job_id, a.state, a.reason, a.status_code, (extract(epoch from a.queued_at) * 1000)::int8 as queued_ms,
  (extract(epoch from a.finished_at) * 1000)::int8 as finished_ms
from (
  select q.job_id, 'Queued' as state, null::text as reason, null::int8 as status_code, q.queued_at, null::timestamptz as finished_at
  from asman.queued_job q where q.qid = $1 and $2 = any (q.namespaces)
  union all
  select r.job_id, 'Running', null, null, r.queued_at, null
  from asman.running_job r where r.qid = $1 and $2 = any (r.namespaces)
  union all
  select e.job_id, 'Finished', e.reason, e.status_code, e.queued_at, e.finished_at
  from ended e where e.namespace = $2 or $2 = any (e.namespaces)) a
order by a.queued_at desc, a.finished_at desc limit $3;
