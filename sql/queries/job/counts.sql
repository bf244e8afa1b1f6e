-- The number of jobs in a queue, counted up to a million waiting ones: for metrics and autoscalers. Items that are not offered to
-- container workers are counted separately.
-- in:    $1 qid uuid
-- out:   n_queued int8, n_running int8, cpus float8, gpus int8: container jobs, and the sum of what the running ones need and,
--        unless the queue is paused, the waiting ones; n_items int8: other items, waiting and claimed; is_paused bool
-- locks: none
-- index: queued_pkey, running_worker, queue_pkey
select q.n as n_queued, r.n as n_running, case when p.is_paused then r.cpus else q.cpus + r.cpus end as cpus,
  case when p.is_paused then r.gpus else q.gpus + r.gpus end as gpus, q.n_items + r.n_items as n_items, p.is_paused
from (select count(*) filter (where not is_item) as n, coalesce(sum(cpus) filter (where not is_item), 0) as cpus,
    coalesce(sum(gpus) filter (where not is_item), 0)::int8 as gpus, count(*) filter (where is_item) as n_items
  from (select q.is_item, q.cpus, q.gpus from asman.queued q where q.qid = $1 order by q.class, q.priority, q.seq limit 1000000) c) q
cross join (select count(*) filter (where not is_item) as n, coalesce(sum(cpus) filter (where not is_item), 0) as cpus,
    coalesce(sum(gpus) filter (where not is_item), 0)::int8 as gpus, count(*) filter (where is_item) as n_items
  from asman.running where qid = $1) r
cross join (select coalesce((select u.is_paused from asman.queue u where u.qid = $1), false) as is_paused) p;
