-- Compare the claims that a worker believes it has with the stored ones.
-- in:    $1 qid uuid, $2 worker_id text, $3 job_ids text[], $4 epochs int8[], $5 grace_seconds float8: the age from which a claim
--        that is missing in the worker's list counts as never delivered
-- out:   job_id text, epoch int8, status text ('live', 'ended', 'unknown', 'orphan'), reason text, message text
-- locks: none
-- index: job_name, running_pkey, running_worker, job_pkey, finished_pkey
with named as materialized (
  select h.job_id, h.epoch, j.key
  from unnest($3::text[], $4::int8[]) as h (job_id, epoch) left join lateral asman.job_named($1, h.job_id) j on true)
select h.job_id, h.epoch, case when r.epoch is not null then 'live' when f.reason is not null then 'ended' else 'unknown' end as status,
  f.reason, f.message
from named h
left join lateral (
  select r.epoch from asman.running r where r.job_key = h.key and r.epoch = h.epoch limit 1) r on true
left join lateral (
  select f.reason, f.message from asman.finished f
  where r.epoch is null and f.job_key = h.key and f.epoch = h.epoch order by f.finished_at desc limit 1) f on true
union all
select j.job_id, r.epoch, 'orphan', null, null
from asman.running r cross join lateral (select k.job_id from asman.job k where k.key = r.job_key limit 1) j
where r.qid = $1 and r.worker_id = $2 and not r.by_deadline and r.claimed_at < now() - make_interval(secs => $5::float8)
  and r.epoch not in (select h.epoch from named h);
