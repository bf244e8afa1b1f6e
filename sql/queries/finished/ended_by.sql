-- The claims that already ended in the way that their worker reports. Such a report is a repetition and not a stale one.
-- in:    $1 qid uuid[], $2 job_id text[], $3 epoch int8[], $4 reason text[]
-- out:   qid uuid, job_id text, epoch int8: the claims that ended so
-- locks: none
-- index: job_name, finished_pkey
select d.qid, d.job_id, d.epoch
from unnest($1::uuid[], $2::text[], $3::int8[], $4::text[]) as d (qid, job_id, epoch, reason)
where (
  select true from asman.job_named(d.qid, d.job_id) j
  cross join lateral (select from asman.finished f where f.job_key = j.key and f.epoch = d.epoch and f.reason = d.reason limit 1) f);
