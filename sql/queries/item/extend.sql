-- Extend the deadlines of live claims of items.
-- in:    $1 qid uuid, $2 job_ids text[], $3 epochs int8[], $4 lease_seconds float8
-- out:   job_id text, epoch int8, deadline_ms int8: the claims that are live
-- locks: their running rows
-- index: job_name, running_pkey
update asman.running r set deadline = now() + make_interval(secs => $4)
from (
  select h.job_id, h.epoch, j.key from unnest($2::text[], $3::int8[]) as h (job_id, epoch)
  cross join lateral asman.job_named($1, h.job_id) j) h
where r.job_key = any (array[h.key]) and r.epoch = h.epoch and r.by_deadline
returning h.job_id, r.epoch, (extract(epoch from r.deadline) * 1000)::int8 as deadline_ms;
