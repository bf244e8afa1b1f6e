-- How many jobs of a queue wait and run now, each counted up to a bound, and since when the one waits that waits longest.
-- in:    $1 qid uuid, $2 n_max int8
-- out:   n_queued int8, n_running int8, oldest_queued_ms int8: of those counted, null when none waits, now_ms int8
-- locks: none
-- index: queued_pkey, running_worker
select q.n as n_queued, r.n as n_running, (extract(epoch from q.oldest) * 1000)::int8 as oldest_queued_ms,
  (extract(epoch from now()) * 1000)::int8 as now_ms
from (select count(*) as n, min(c.queued_at) as oldest from (
    select w.queued_at from asman.queued w where w.qid = $1 order by w.class, w.priority, w.seq limit $2) c) q
cross join (select count(*) as n from (select from asman.running u where u.qid = $1 limit $2) c) r;
