-- Add items to a queue. Ids that the queue has in any stage are skipped. The work is in asman.add_items.
-- in:    $1 qid uuid, $2 job_ids text[], $3 hashes bytea[], $4 bodies text[], $5 is_items bool[], $6 true_ids bool[],
--        $7 classes int8[], $8 cpus float8[], $9 gpus int4[], $10 memory_bytes int8[], $11 required_seconds int4[],
--        $12 max_seconds int4[], $13 tags text[] (joined by '/'), $14 stages int4[], $15 message text
-- out:   ord int8: which were added, counted from 1
-- locks: the queue's advisory lock, until commit
-- index: queued_job, running_pkey, finished_pkey
select ord from asman.add_items($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15);
