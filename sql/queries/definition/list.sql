-- The texts of the definitions of these jobs, as far as they wait or run and are container jobs.
-- in:    $1 qid uuid, $2 job_id text[]
-- out:   job_id text, body text: one row a job found
-- locks: none
-- index: queued_job, running_pkey, definition_pkey
select n.job_id, d.body
from unnest($2::text[]) as w (job_id)
cross join lateral (
  (select q.job_id, q.definition_hash from asman.queued q where q.job_id = w.job_id and q.qid = $1 and not q.is_item)
  union all
  (select r.job_id, r.definition_hash from asman.running r where r.job_id = w.job_id and r.qid = $1 and not r.is_item)
  limit 1) n
join asman.definition d on d.hash = n.definition_hash;
