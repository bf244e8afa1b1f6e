-- The workers of a queue seen lately, the last seen first, with what runs on each.
-- in:    $1 qid uuid, $2 lease_seconds float8, $3 n_max int8
-- out:   worker_id text, version text, executor text, cpus float8, gpus int4, memory_bytes int8, tags text[], max_seconds int4,
--        last_seen_ms int8, is_alive bool: seen within the lease, n_running int8, cpus_used float8, gpus_used int8
-- locks: none
-- index: worker_pkey, running_worker, job_pkey, class_class: reads every worker of the queue. Maintenance deletes those that were not
--        seen for an hour
select w.worker_id, w.version, w.executor, w.cpus, w.gpus, w.memory_bytes, w.tags, w.max_seconds,
  (extract(epoch from w.last_seen) * 1000)::int8 as last_seen_ms, w.last_seen > now() - make_interval(secs => $2) as is_alive,
  r.n as n_running, r.cpus as cpus_used, r.gpus as gpus_used
from (select v.* from asman.worker v where v.qid = $1 order by v.last_seen desc, v.worker_id limit $3) w
cross join lateral (
  select coalesce(sum(g.n), 0)::int8 as n, coalesce(sum(g.n * c.cpus), 0) as cpus, coalesce(sum(g.n * c.gpus), 0)::int8 as gpus
  from (select j.class, count(*) as n from asman.running u
    cross join lateral (select k.class from asman.job k where k.key = u.job_key limit 1) j
    where u.qid = w.qid and u.worker_id = w.worker_id group by j.class) g
  cross join lateral (select k.cpus, k.gpus from asman.class k where k.class = g.class limit 1) c) r
order by w.last_seen desc, w.worker_id;
