-- Jobs waiting and running, by queue. A queue is found by its key: where qid = asman.qid('name').
create view report.queue_depth as
select coalesce(q.qid, r.qid) as qid, coalesce(q.n_queued, 0) as n_queued, coalesce(r.n_running, 0) as n_running,
  q.oldest_queued_at, coalesce(q.cpus, 0) + coalesce(r.cpus, 0) as cpus_wanted, coalesce(q.gpus, 0) + coalesce(r.gpus, 0) as gpus_wanted
from (select w.qid, count(*) as n_queued, min(j.queued_at) as oldest_queued_at, sum(c.cpus) as cpus, sum(c.gpus) as gpus
      from asman.queued w join asman.job j on j.key = w.job_key cross join lateral (select k.* from asman.class k where k.class = w.class limit 1) c group by w.qid) q
full join (
  select u.qid, count(*) as n_running, sum(c.cpus) as cpus, sum(c.gpus) as gpus
  from asman.running u join asman.job j on j.key = u.job_key cross join lateral (select k.* from asman.class k where k.class = j.class limit 1) c group by u.qid) r using (qid);
comment on view report.queue_depth is 'Jobs waiting and running, by queue, with the cpus and gpus they need. One queue: where qid = report.qid(''name'').';
