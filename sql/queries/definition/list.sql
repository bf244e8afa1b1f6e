-- The texts of the definitions of these jobs. Only container jobs that wait or run are included.
-- in:    $1 qid uuid, $2 job_id text[], $3 worker_id text: whose claims get their logins; null: none do
-- out:   job_id text, body text, login text, is_withheld bool (it has a login, which this worker may not see): one row a job
--        found
-- locks: none
-- index: job_name, queued_job_key, running_pkey, definition_pkey, login_pkey
select j.job_id, d.body, case when n.worker_id = $3 then l.login end as login,
  l.login is not null and n.worker_id is distinct from $3 as is_withheld
from unnest($2::text[]) as w (job_id)
cross join lateral (select k.* from asman.job_named($1, w.job_id) k where k.class <> 0 limit 1) j
cross join lateral (
  (select null::text as worker_id from asman.queued q where q.job_key = j.key)
  union all
  (select r.worker_id from asman.running r where r.job_key = j.key)
  limit 1) n
cross join lateral (select d.body from asman.definition d where d.hash = j.definition_hash limit 1) d
left join lateral (select l.login from asman.login l where l.hash = j.definition_hash limit 1) l on true;
