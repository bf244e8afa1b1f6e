-- How long jobs waited for their last claim, by queue and day of the last week.
create view report.waiting_time as
select qid, date_trunc('day', finished_at) as day, count(*) as n_jobs,
  percentile_cont(0.5) within group (order by extract(epoch from claimed_at - queued_at)) as p50_seconds,
  percentile_cont(0.95) within group (order by extract(epoch from claimed_at - queued_at)) as p95_seconds,
  max(extract(epoch from claimed_at - queued_at)) as max_seconds
from asman.finished where claimed_at is not null and finished_at > now() - interval '7 days'
group by 1, 2;
comment on view report.waiting_time is 'How long jobs waited for their last claim, by queue and day of the last week: median, 95th percentile, longest.';
