-- How many jobs of a queue ended in each interval up to now, by reason. Each interval is cut into slices, and of a slice at most
-- $5 rows are read, the newest: when there are more, their number is estimated from the time span of the rows that were read. So
-- the cost is bounded for queues of any speed. Items of the task-queue API count too.
-- in:    $1 qid uuid, $2 interval_seconds float8, $3 n_intervals int4, $4 n_slices int4 (of an interval), $5 n_counted int8 (of a slice)
-- out:   interval_ms int8: its beginning, reason text, n_jobs float8, is_estimate bool
-- locks: none
-- index: finished_queue, without the table: reads at most $3 * $4 * $5 of its entries
with slice as materialized (
  select i.at as interval_at, i.at + make_interval(secs => s.n * $2::float8 / $4::int4) as since,
    least(i.at + make_interval(secs => (s.n + 1) * $2::float8 / $4), now()) as until
  from generate_series(0, $3::int4 - 1) b (n)
  cross join lateral (select to_timestamp((floor(extract(epoch from now())::float8 / $2) - b.n) * $2) as at) i
  cross join generate_series(0, $4 - 1) s (n)),
counted as (
  select s.interval_at, s.until - s.since as length, c.reason, count(*) as n_read, sum(count(*)) over same as n_all,
    s.until - min(min(c.finished_at)) over same as spanned
  from slice s cross join lateral (
    select f.finished_at, f.reason from asman.finished f
    where f.qid = $1 and f.finished_at >= s.since and f.finished_at < s.until
    order by f.finished_at desc limit $5) c
  group by s.interval_at, s.since, s.until, c.reason
  window same as (partition by s.since))
select (extract(epoch from c.interval_at) * 1000)::int8 as interval_ms, c.reason,
  sum(c.n_read * case when c.n_all < $5 then 1
    else extract(epoch from c.length)::float8 / greatest(extract(epoch from c.spanned)::float8, 1e-6) end)::float8 as n_jobs,
  bool_or(c.n_all >= $5) as is_estimate
from counted c
group by c.interval_at, c.reason
order by c.interval_at, c.reason;
