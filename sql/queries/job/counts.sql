-- The number of jobs in a queue, counted up to a million waiting ones: for metrics and autoscalers. Items that are not offered to
-- container workers are counted separately.
-- in:    $1 qid uuid
-- out:   n_queued int8, n_running int8, cpus float8, gpus int8: container jobs, and the sum of what the running ones need and,
--        unless the queue is paused, the waiting ones; n_items int8: other items, waiting and claimed; is_paused bool
-- locks: none
-- index: queued_pkey, running_worker, job_pkey, class_class, policy_pkey
select q.n as n_queued, r.n as n_running, case when p.is_paused then r.cpus else q.cpus + r.cpus end as cpus,
  case when p.is_paused then r.gpus else q.gpus + r.gpus end as gpus, q.n_items + r.n_items as n_items, p.is_paused
from (
  select coalesce(sum(w.n) filter (where c.kind = 'container'), 0)::int8 as n, coalesce(sum(w.n * c.cpus) filter (where c.kind = 'container'), 0) as cpus,
    coalesce(sum(w.n * c.gpus) filter (where c.kind = 'container'), 0)::int8 as gpus, coalesce(sum(w.n) filter (where c.kind = 'item'), 0)::int8 as n_items
  from (select l.class, count(*) as n from (
      select q.class from asman.queued q where q.qid = $1 order by q.class, q.priority, q.seq limit 1000000) l group by l.class) w
  cross join lateral (select k.* from asman.class k where k.class = w.class limit 1) c) q
cross join (
  select coalesce(sum(w.n) filter (where c.kind = 'container'), 0)::int8 as n, coalesce(sum(w.n * c.cpus) filter (where c.kind = 'container'), 0) as cpus,
    coalesce(sum(w.n * c.gpus) filter (where c.kind = 'container'), 0)::int8 as gpus, coalesce(sum(w.n) filter (where c.kind = 'item'), 0)::int8 as n_items
  from (select j.class, count(*) as n from asman.running r
      cross join lateral (select k.class from asman.job k where k.key = r.job_key limit 1) j where r.qid = $1 group by j.class) w
  cross join lateral (select k.* from asman.class k where k.class = w.class limit 1) c) r
cross join (select coalesce((select u.is_paused from asman.policy u where u.qid = $1), false) as is_paused) p;
