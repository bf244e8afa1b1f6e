-- A page of the jobs of a queue that have ended, the latest first. A job that ended several times is listed once for each end.
-- in:    $1 qid uuid, $2 before_us int8, $3 before_id text: the last row of the page before, both null for the first page,
--        $4 n_max int8, $5 body_bytes int4: most bytes of a definition that is shown
-- out:   job_id text, is_item bool, body text: null when it is larger, and for an item, place int8: microseconds, queued_ms int8,
--        claimed_ms int8, finished_ms int8, worker_id text, attempt int2, reason text, message text, status_code int8, duration_ms float8
-- locks: none
-- index: finished_queue, job_pkey, definition_pkey: reads the rows of the page, and those that ended in the same microsecond as its last one
select j.job_id, f.is_item, (select e.body from asman.definition e
    where e.hash = j.definition_hash and octet_length(e.body) <= $5::int4 and not f.is_item) as body,
  (extract(epoch from f.finished_at) * 1000000)::int8 as place, (extract(epoch from f.queued_at) * 1000)::int8 as queued_ms,
  (extract(epoch from f.claimed_at) * 1000)::int8 as claimed_ms, (extract(epoch from f.finished_at) * 1000)::int8 as finished_ms,
  f.worker_id, f.attempt, f.reason, left(f.message, 1000) as message, f.status_code, f.duration_ms
from asman.finished f cross join lateral (select k.* from asman.job k where k.key = f.job_key limit 1) j
where f.qid = $1 and f.finished_at <= coalesce('epoch'::timestamptz + $2::int8 * interval '1 microsecond', 'infinity')
  and ($2 is null or f.finished_at < 'epoch'::timestamptz + $2 * interval '1 microsecond' or j.job_id < $3 collate "C")
order by f.finished_at desc, j.job_id desc limit $4;
