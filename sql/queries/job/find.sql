-- The rows that may be found by a job id without a queue, the oldest first. The id must be the hash of the definition, by today's or
-- the old rule. Queues that require a token for reading are left out for callers without a token. A row that was written before
-- today's rule does not record that its id is the hash by the old rule, but its alias does.
-- in:    $1 job_id text, $2 has_token bool
-- out:   qid uuid, job_id text: a hundred rows at most
-- locks: none
-- index: alias_old, alias_job, alias_pkey, job_name, running_pkey, queued_job_key, finished_pkey, policy_pkey
with name as materialized (
  select coalesce((select a.job_id from asman.alias a where a.old_id = $1 limit 1), $1) as job_id),
candidate as materialized (
  select n.job_id from name n
  union select a.old_id from name n cross join lateral (
    select b.old_id from asman.alias b where b.job_id = n.job_id order by b.job_id limit 100) a)
select n.qid, n.job_id from candidate c
cross join lateral (select j.* from asman.job j where j.job_id = c.job_id order by j.job_id) n
where (n.is_true_id or (select true from asman.alias a where a.definition_hash = n.definition_hash and a.job_id = n.job_id limit 1))
  and ($2 or not exists (select from asman.policy p where p.qid = n.qid and p.read_token_hash is not null))
  and ((select true from asman.running r where r.job_key = n.key limit 1) or (select true from asman.queued q where q.job_key = n.key limit 1)
    or (select true from asman.finished f where f.job_key = n.key limit 1))
order by n.queued_at limit 100;
