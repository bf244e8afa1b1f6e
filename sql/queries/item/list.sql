-- A page of the items of a queue, in the order of their ids.
-- in:    $1 qid uuid, $2 stage int4 (null: every one), $3 prefix text, $4 after text (null: from the first), $5 n_max int8
-- out:   job_id text, stage int4, is_item bool, attempt int2, n_lost int2, epoch int8, worker_id text, deadline_ms int8, reason text,
--        message text, queued_ms int8, claimed_ms int8, finished_ms int8
-- locks: none
-- index: queued_pkey, running_worker, finished_queue, finished_pkey, job_pkey: reads the queue's items of the stage
select i.job_id, i.stage, i.is_item, i.attempt, i.n_lost, i.epoch, i.worker_id,
  case when isfinite(i.deadline) then (extract(epoch from i.deadline) * 1000)::int8 end as deadline_ms, i.reason, i.message,
  (extract(epoch from i.queued_at) * 1000)::int8 as queued_ms, (extract(epoch from i.claimed_at) * 1000)::int8 as claimed_ms,
  (extract(epoch from i.finished_at) * 1000)::int8 as finished_ms
from asman.items($1) i
where ($2::int4 is null or i.stage = $2) and starts_with(i.job_id, $3) and ($4::text is null or i.job_id > $4 collate "C")
order by i.job_id collate "C" limit $5;
