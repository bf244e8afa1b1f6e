-- How jobs ended, by day and reason, for all queues. A program that failed is counted separately from one that succeeded.
create view report.outcomes_per_day as
select date_trunc('day', finished_at) as day, reason, coalesce(status_code, 0) <> 0 as is_program_failure,
  count(*) as n_jobs, avg(duration_ms) / 1000 as mean_seconds, count(*) filter (where attempt > 1) as n_retried
from asman.finished
group by 1, 2, 3;
comment on view report.outcomes_per_day is
  'How jobs ended, by day and reason, all queues. is_program_failure: the job ran and its program exited with another code than 0.';
