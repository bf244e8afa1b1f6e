-- The queue in which a job may be found by its id alone: only under the true hash of its definition, the oldest first.
-- in:    $1 job_id text
-- out:   qid uuid: no row, or one
-- locks: none
-- index: running_pkey, queued_job, finished_pkey
select n.qid from (
  select r.qid, r.queued_at from asman.running r where r.job_id = $1 and r.is_true_id
  union all
  select q.qid, q.queued_at from asman.queued q where q.job_id = $1 and q.is_true_id
  union all
  select f.qid, f.queued_at from asman.finished f where f.job_id = $1 and f.is_true_id) n
order by n.queued_at limit 1;
