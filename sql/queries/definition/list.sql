-- The texts of the definitions of these jobs, for those that are container jobs and wait or run.
-- in:    $1 qid uuid, $2 job_id text[], $3 worker_id text: whose claims get their logins; null: none do
-- out:   job_id text, body text, login text, is_withheld bool (it has a login, which this worker may not see): one row a job
--        found
-- locks: none
-- index: queued_job, running_pkey, definition_pkey, login_pkey
select n.job_id, d.body, case when n.worker_id = $3 then l.login end as login,
  l.login is not null and n.worker_id is distinct from $3 as is_withheld
from unnest($2::text[]) as w (job_id)
cross join lateral (
  (select q.job_id, q.definition_hash, null::text as worker_id from asman.queued q where (q.job_id, q.qid) between (w.job_id, $1) and (w.job_id, $1) and not q.is_item)
  union all
  (select r.job_id, r.definition_hash, r.worker_id from asman.running r where (r.job_id, r.qid) between (w.job_id, $1) and (w.job_id, $1) and not r.is_item)
  limit 1) n
cross join lateral (select d.body from asman.definition d where d.hash = n.definition_hash limit 1) d
left join lateral (select l.login from asman.login l where l.hash = n.definition_hash limit 1) l on true;
