-- How long jobs of a queue waited for their last claim and ran, by the interval in which they ended, up to now. Each interval is
-- cut into slices, and of a slice at most $5 rows are read, the newest: a sample spread over the interval, whose cost is bounded.
-- A row that records the removal of a result is left out, because the job had ended before.
-- in:    $1 qid uuid, $2 interval_seconds float8, $3 n_intervals int4, $4 n_slices int4 (of an interval), $5 n_sampled int8 (of a slice)
-- out:   interval_ms int8: its beginning, n_sampled int8, n_success int8, n_program_failures int8: of those the ones whose program
--        exited with another code than 0, wait_p50 float8, wait_p95 float8, wait_max float8, run_p50 float8, run_p95 float8,
--        run_max float8: seconds, null when none of the sample was claimed
-- locks: none
-- index: finished_queue: reads at most $3 * $4 * $5 rows
with slice as materialized (
  select i.at as interval_at, i.at + make_interval(secs => s.n * $2::float8 / $4::int4) as since,
    least(i.at + make_interval(secs => (s.n + 1) * $2::float8 / $4), now()) as until
  from generate_series(0, $3::int4 - 1) b (n)
  cross join lateral (select to_timestamp((floor(extract(epoch from now())::float8 / $2) - b.n) * $2) as at) i
  cross join generate_series(0, $4 - 1) s (n)),
sample as (
  select s.interval_at, f.reason, f.status_code, extract(epoch from f.claimed_at - f.queued_at)::float8 as waited,
    case when f.claimed_at is not null then coalesce(f.duration_ms / 1000, extract(epoch from f.finished_at - f.claimed_at)::float8) end as ran
  from slice s cross join lateral (
    select v.reason, v.status_code, v.queued_at, v.claimed_at, v.finished_at, v.duration_ms from asman.finished v
    where v.qid = $1 and v.finished_at >= s.since and v.finished_at < s.until and v.reason <> 'Deleted'
    order by v.finished_at desc limit $5) f)
select (extract(epoch from s.interval_at) * 1000)::int8 as interval_ms, count(*) as n_sampled,
  count(*) filter (where s.reason = 'Success') as n_success,
  count(*) filter (where s.reason = 'Success' and s.status_code <> 0) as n_program_failures,
  percentile_cont(0.5) within group (order by s.waited) as wait_p50, percentile_cont(0.95) within group (order by s.waited) as wait_p95,
  max(s.waited) as wait_max,
  percentile_cont(0.5) within group (order by s.ran) as run_p50, percentile_cont(0.95) within group (order by s.ran) as run_p95,
  max(s.ran) as run_max
from sample s
group by s.interval_at
order by s.interval_at;
