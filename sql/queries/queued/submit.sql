-- Queue a batch of jobs. A job that is sent several times is queued once. The work is in asman.submit, and the limits of the
-- queues' policies are applied in asman.submit_within_limits.
-- in:    $1 qids uuid[], $2 job_ids text[], $3 hashes bytea[], $4 bodies text[], $5 namespaces text[], $6 true_ids bool[],
--        $7 debugs bool[], $8 classes int8[], $9 priorities int2[], $10 cpus float8[], $11 gpus int4[], $12 memory_bytes int8[],
--        $13 required_seconds int4[], $14 max_seconds int4[], $15 tags text[], $16 is_items bool[], $17 queues text[],
--        $18 callbacks text[] (JSON or null), $19 agains bool[], $20 sent_ids text[]
-- out:   ord int8, outcome text, job_id text: the row's; one row a submission, in order
-- locks: the policies' rows of queues with a limit, an advisory lock a job, until commit
-- index: alias_old, alias_job, queue_pkey, queued_job, running_pkey, finished_pkey, webhook_job
select ord, outcome, job_id from asman.submit_within_limits($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
  $20);
