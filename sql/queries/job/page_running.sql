-- A page of the jobs of a queue that run, the last claimed first.
-- in:    $1 qid uuid, $2 before_us int8, $3 before_id text: the last row of the page before, both null for the first page,
--        $4 n_max int8, $5 body_bytes int4: most bytes of a definition that is shown
-- out:   job_id text, is_item bool, body text: null when it is larger, and for an item, place int8: microseconds, queued_ms int8,
--        claimed_ms int8, finished_ms int8, worker_id text, attempt int2, reason text, message text, status_code int8, duration_ms float8
-- locks: none
-- index: running_worker, job_pkey, definition_pkey: reads the running jobs of the queue, whose number the workers' capacity bounds
select r.job_id, r.is_item, (select e.body from asman.definition e
    where e.hash = r.definition_hash and octet_length(e.body) <= $5::int4 and not r.is_item) as body,
  (extract(epoch from r.claimed_at) * 1000000)::int8 as place, (extract(epoch from r.queued_at) * 1000)::int8 as queued_ms,
  (extract(epoch from r.claimed_at) * 1000)::int8 as claimed_ms, null::int8 as finished_ms, r.worker_id, r.attempt,
  null::text as reason, null::text as message, null::int8 as status_code, null::float8 as duration_ms
from (
  select u.*, j.job_id, j.class = 0 as is_item, j.definition_hash, j.queued_at from asman.running u
  cross join lateral (select k.* from asman.job k where k.key = u.job_key limit 1) j
  where u.qid = $1) r
where ($2::int8 is null or r.claimed_at < 'epoch'::timestamptz + $2 * interval '1 microsecond'
  or (r.claimed_at = 'epoch'::timestamptz + $2 * interval '1 microsecond' and r.job_id < $3 collate "C"))
order by r.claimed_at desc, r.job_id desc limit $4;
