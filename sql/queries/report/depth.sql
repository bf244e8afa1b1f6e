-- How many jobs of a queue wait and run now, each counted up to a bound, and since when the oldest waiting job waits. That job is the
-- first of its class and priority, so only such jobs are read. The `order by` keeps the counts on their indexes, regardless of the
-- statistics of other queues.
-- in:    $1 qid uuid, $2 n_max int8
-- out:   n_queued int8, n_running int8, oldest_queued_ms int8: null when none waits, now_ms int8
-- locks: none
-- index: queued_pkey, running_worker, job_pkey: reads the first two without the table where it is vacuumed, and the first row of each
--        class and priority, of 1,000 at most
with recursive list as (
  (select q.class, q.priority, q.job_key, 1 as n from asman.queued q where q.qid = $1 order by q.class, q.priority, q.seq limit 1)
  union all
  select f.class, f.priority, f.job_key, l.n + 1 from list l cross join lateral (
    select q.class, q.priority, q.job_key from asman.queued q where q.qid = $1 and (q.class, q.priority) > (l.class, l.priority)
    order by q.class, q.priority, q.seq limit 1) f
  where l.n < 1000)
select (select count(*) from (select from asman.queued w where w.qid = $1
    order by w.class, w.priority, w.seq limit $2::int8) c) as n_queued,
  (select count(*) from (select from asman.running r where r.qid = $1 order by r.worker_id limit $2) c) as n_running,
  (select (extract(epoch from min(j.queued_at)) * 1000)::int8 from list l
    cross join lateral (select k.queued_at from asman.job k where k.key = l.job_key limit 1) j) as oldest_queued_ms,
  (extract(epoch from now()) * 1000)::int8 as now_ms;
