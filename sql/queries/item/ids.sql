-- The ids of the items in one stage: waiting items in the order of the queue, claimed and ended items in the order of their
-- claims and ends.
-- in:    $1 qid uuid, $2 stage int4, $3 n_max int8, $4 only_items bool: leave out container jobs that were not submitted as items
-- out:   job_id text
-- locks: none
-- index: queued_pkey, running_worker, finished_queue, finished_pkey, job_pkey
select i.job_id from asman.items($1) i where i.stage = $2 and (i.is_item or not i.is_true_id or not $4) order by i.priority, i.place limit $3;
