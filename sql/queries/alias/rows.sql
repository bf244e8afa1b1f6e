-- The rows of the jobs with these true ids in a queue. Most ids do not have an alias and cost two look-ups in small indexes.
-- in:    $1 qid uuid, $2 job_ids text[]
-- out:   job_id text: one row an id, in order; the id itself where there is no such job
-- locks: none
-- index: alias_old, alias_job; for ids with an alias also those of asman.row_id
select coalesce(case when (select true from asman.alias a where a.old_id = u.job_id limit 1)
    or (select true from asman.alias a where a.job_id = u.job_id limit 1)
  then asman.row_id($1, u.job_id) end, u.job_id) as job_id
from unnest($2::text[]) with ordinality as u (job_id, ord) order by u.ord;
