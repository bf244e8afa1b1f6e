-- Extend the deadlines of live claims of items.
-- in:    $1 qid uuid, $2 job_ids text[], $3 epochs int8[], $4 lease_seconds float8
-- out:   job_id text, epoch int8, deadline_ms int8: the claims that are live
-- locks: their running rows
-- index: running_pkey
update asman.running r set deadline = now() + make_interval(secs => $4)
from unnest($2::text[], $3::int8[]) as h (job_id, epoch)
where (r.job_id, r.qid) between (h.job_id, $1) and (h.job_id, $1) and r.epoch = h.epoch and r.by_deadline
returning r.job_id, r.epoch, (extract(epoch from r.deadline) * 1000)::int8 as deadline_ms;
