-- Compare the claims that a worker believes it has with the stored ones.
-- in:    $1 qid uuid, $2 worker_id text, $3 job_ids text[], $4 epochs int8[], $5 grace_seconds float8: the age from which a claim
--        that is missing in the worker's list counts as never delivered
-- out:   job_id text, epoch int8, status text ('held', 'ended', 'unknown', 'orphan'), reason text, message text
-- locks: none
-- index: running_pkey, running_worker, finished_pkey
with held as (
  select * from unnest($3::text[], $4::int8[]) as h (job_id, epoch))
select h.job_id, h.epoch, case when r.epoch is not null then 'held' when f.reason is not null then 'ended' else 'unknown' end as status,
  f.reason, f.message
from held h
left join lateral (
  select r.epoch from asman.running r where (r.job_id, r.qid) between (h.job_id, $1) and (h.job_id, $1) and r.epoch = h.epoch limit 1) r on true
left join lateral (
  select f.reason, f.message from asman.finished f
  where r.epoch is null and f.job_id = h.job_id and f.qid = $1 and f.epoch = h.epoch order by f.finished_at desc limit 1) f on true
union all
select r.job_id, r.epoch, 'orphan', null, null
from asman.running r
where r.qid = $1 and r.worker_id = $2 and not r.by_deadline and r.claimed_at < now() - make_interval(secs => $5::float8)
  and (r.job_id, r.epoch) not in (select h.job_id, h.epoch from held h);
