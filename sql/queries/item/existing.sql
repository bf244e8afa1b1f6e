-- The ids that a queue has, in any stage.
-- in:    $1 qid uuid, $2 job_ids text[]
-- out:   job_id text
-- locks: none
-- index: job_name, queued_job_key, running_pkey, finished_pkey
select w.job_id from unnest($2::text[]) as w (job_id)
where (select true from asman.running_named($1, w.job_id) limit 1)
  or (select true from asman.queued_named($1, w.job_id) limit 1)
  or (select f.reason from asman.finished_named($1, w.job_id) f) <> 'Deleted';
