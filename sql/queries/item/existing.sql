-- The ids that a queue has, in any stage.
-- in:    $1 qid uuid, $2 job_ids text[]
-- out:   job_id text
-- locks: none
-- index: queued_job, running_pkey, finished_pkey
select w.job_id from unnest($2::text[]) as w (job_id)
where (select true from asman.running r where (r.job_id, r.qid) between (w.job_id, $1) and (w.job_id, $1) limit 1)
  or (select true from asman.queued q where (q.job_id, q.qid) between (w.job_id, $1) and (w.job_id, $1) limit 1)
  or (select f.reason from asman.finished f where f.job_id = w.job_id and f.qid = $1 order by f.finished_at desc limit 1) <> 'Deleted';
