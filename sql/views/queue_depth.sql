-- Jobs waiting and running, by queue. A queue is found by its key: where qid = asman.qid('name').
create view report.queue_depth as
select coalesce(q.qid, r.qid) as qid, coalesce(q.n_queued, 0) as n_queued, coalesce(r.n_running, 0) as n_running,
  q.oldest_queued_at, coalesce(q.cpus, 0) + coalesce(r.cpus, 0) as cpus_wanted, coalesce(q.gpus, 0) + coalesce(r.gpus, 0) as gpus_wanted
from (select qid, count(*) as n_queued, min(queued_at) as oldest_queued_at, sum(cpus) as cpus, sum(gpus) as gpus
      from asman.queued group by qid) q
full join (select qid, count(*) as n_running, sum(cpus) as cpus, sum(gpus) as gpus from asman.running group by qid) r using (qid);
comment on view report.queue_depth is 'Jobs waiting and running, by queue, with the cpus and gpus they need. One queue: where qid = report.qid(''name'').';
