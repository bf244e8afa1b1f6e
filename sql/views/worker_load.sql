-- What each worker offers and what runs on it now.
create view report.worker_load as
select w.qid, w.worker_id, w.version, w.cpus, w.gpus, w.last_seen, w.last_seen > now() - interval '30 seconds' as is_alive,
  count(r.job_key) as n_running, coalesce(sum(c.cpus), 0) as cpus_used, coalesce(sum(c.gpus), 0) as gpus_used
from asman.worker w left join asman.running r using (qid, worker_id) left join asman.job j on j.key = r.job_key
left join lateral (select k.* from asman.class k where k.class = j.class limit 1) c on true
group by w.qid, w.worker_id;
comment on view report.worker_load is 'What each worker offers, whether it was seen in the last 30 seconds, and what runs on it now.';
