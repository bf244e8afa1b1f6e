-- The text of a job's definition, without the login of its build context, and that login.
-- in:    $1 qid uuid, $2 job_id text
-- out:   body text, login text: no row, or one
-- locks: none
-- index: job_name, running_pkey, queued_job_key, finished_pkey, definition_pkey, login_pkey
select d.body, (select l.login from asman.login l where l.hash = d.hash) as login from asman.definition d
where d.hash = (
  select j.definition_hash from asman.job_named($1, $2) j
  where (select true from asman.running r where r.job_key = j.key limit 1) or (select true from asman.queued q where q.job_key = j.key limit 1)
    or (select true from asman.finished f where f.job_key = j.key limit 1));
