-- The queues in which a job may be found by its id alone: only under the true hash of its definition, the oldest first. Queues
-- that ask their readers for a token are left out for those who have none.
-- in:    $1 job_id text, $2 has_token bool
-- out:   qid uuid: a hundred rows at most
-- locks: none
-- index: running_pkey, queued_job, finished_pkey, queue_pkey
select n.qid from (
  select r.qid, r.queued_at from asman.running r where r.job_id = $1 and r.is_true_id
  union all
  select q.qid, q.queued_at from asman.queued q where q.job_id = $1 and q.is_true_id
  union all
  select f.qid, f.queued_at from asman.finished f where f.job_id = $1 and f.is_true_id) n
where $2 or not exists (select from asman.queue p where p.qid = n.qid and p.read_token_hash is not null)
order by n.queued_at limit 100;
