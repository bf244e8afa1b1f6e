-- One item, in any stage. Like asman.items, but looked up by its id.
-- in:    $1 qid uuid, $2 job_id text
-- out:   job_id text, stage int4, body text, is_item bool, attempt int2, n_lost int2, epoch int8, worker_id text, deadline_ms int8,
--        reason text, message text, queued_ms int8, claimed_ms int8, finished_ms int8, result text: no row, or one
-- locks: none
-- index: job_name, running_pkey, queued_job_key, finished_pkey, definition_pkey
select n.job_id, n.stage, (select d.body from asman.definition d where d.hash = n.definition_hash) as body, n.is_item, n.attempt,
  n.n_lost, n.epoch, n.worker_id,
  case when isfinite(n.deadline) then (extract(epoch from n.deadline) * 1000)::int8 end as deadline_ms, n.reason, n.message,
  (extract(epoch from n.queued_at) * 1000)::int8 as queued_ms, (extract(epoch from n.claimed_at) * 1000)::int8 as claimed_ms,
  (extract(epoch from n.finished_at) * 1000)::int8 as finished_ms, n.result::text as result
from (
  (select r.job_id, 1 as stage, r.definition_hash, r.is_item, r.attempt, r.n_lost, r.epoch, r.worker_id, r.deadline, null::text as reason,
    null::text as message, r.queued_at, r.claimed_at, null::timestamptz as finished_at, null::json as result
   from asman.running_named($1, $2) r)
  union all
  (select q.job_id, 0, q.definition_hash, q.is_item, q.attempt, q.n_lost, 0, null, null, null, null, q.queued_at, null, null, null
   from asman.queued_named($1, $2) q)
  union all
  (select f.job_id, case f.reason when 'Success' then 2 else 3 end, f.definition_hash, f.is_item, f.attempt, 0::int2, f.epoch, f.worker_id,
    null, f.reason, f.message, f.queued_at, f.claimed_at, f.finished_at, f.result
   from asman.finished_named($1, $2) f)
  limit 1) n
where n.reason is distinct from 'Deleted';
