-- Jobs finished per minute in the last hour, all queues.
create view report.throughput as
select date_trunc('minute', finished_at) as minute, count(*) as n_finished, count(*) filter (where reason = 'Success') as n_success
from asman.finished where finished_at > now() - interval '1 hour'
group by 1;
comment on view report.throughput is 'Jobs finished per minute in the last hour, all queues.';
