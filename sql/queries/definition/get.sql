-- The text of a job's definition, without the login of its build context, and that login.
-- in:    $1 qid uuid, $2 job_id text
-- out:   body text, login text: no row, or one
-- locks: none
-- index: running_pkey, queued_job, finished_pkey, definition_pkey, login_pkey
select d.body, (select l.login from asman.login l where l.hash = d.hash) as login from asman.definition d
where d.hash = (
  select n.definition_hash from (
    (select r.definition_hash from asman.running r where (r.job_id, r.qid) between ($2, $1) and ($2, $1))
    union all
    (select q.definition_hash from asman.queued q where q.job_id = $2 and q.qid = $1)
    union all
    (select f.definition_hash from asman.finished f where f.job_id = $2 and f.qid = $1 order by f.finished_at desc limit 1)) n
  limit 1);
