-- The live workers of one queue, and the jobs that they run.
-- in:    $1 qid uuid, $2 lease_seconds float8
-- out:   worker_id text, version text, cpus float8, gpus int4, last_seen_ms int8, max_seconds int4, memory_bytes int8,
--        labels text[], executor text, job_ids text[]
-- locks: none
-- index: worker_pkey, running_worker, job_pkey
select w.worker_id, w.version, w.cpus, w.gpus, (extract(epoch from w.last_seen) * 1000)::int8 as last_seen_ms, w.max_seconds,
  w.memory_bytes, w.labels, w.executor,
  array(select j.job_id from asman.running r cross join lateral (select k.job_id from asman.job k where k.key = r.job_key limit 1) j
    where r.qid = w.qid and r.worker_id = w.worker_id order by r.claimed_at limit 1000) as job_ids
from asman.worker w where w.qid = $1 and w.last_seen > now() - make_interval(secs => $2) order by w.registered_at limit 10000;
