-- End the claims of workers that stopped sending heartbeats, and claims past their deadline. Nothing is swept during the first
-- lease after the server's start, because no heartbeat could arrive while it was down.
-- in:    lease: how long a worker may be silent; n_lost_max: the number of lost claims that ends a job
-- out:   one row a lost claim
-- locks: the swept running rows; rows that another sweep has locked are skipped
-- index: worker_pkey, running_pkey, job_pkey; reads running as a whole, which is as large as the number of containers now running
create or replace function asman.sweep(lease interval, n_lost_max int2) returns table (qid uuid, job_id text, is_final bool)
language sql set enable_seqscan = off set jit = off as $$
with lost as (
  select r.job_key, case when r.deadline < now() then 'it ran past its deadline' else 'its worker stopped answering' end as why
  from asman.running r left join asman.worker w on w.qid = r.qid and w.worker_id = r.worker_id
  -- A claim is a sign of life too: a worker that waited for a claim without sending heartbeats must not lose the claim at once.
  where (r.deadline < now() or (not r.by_deadline and greatest(w.last_seen, r.claimed_at) < now() - lease))
    and pg_postmaster_start_time() < now() - lease
  order by r.claimed_at limit 500
  for update of r skip locked),
gone as (
  delete from asman.running r using lost l where r.job_key = any (array[l.job_key])
  returning r.*, l.why, r.n_lost + 1 >= n_lost_max as is_final, format('given up after %s lost workers: %s', r.n_lost + 1, l.why) as final_message),
whole as materialized (
  select g.*, j.job_id, j.class, j.priority, j.seq, j.queued_at
  from gone g cross join lateral (select k.* from asman.job k where k.key = g.job_key limit 1) j),
again as (
  insert into asman.queued (qid, class, priority, seq, job_key, attempt, n_lost, n_released, not_before)
  select qid, class, priority, seq, job_key, attempt, n_lost + 1, n_released,
    now() + asman.pause_after(1, n_lost)
  from whole where not is_final
  on conflict do nothing),
ended as (
  insert into asman.finished (job_key, epoch, queued_at, claimed_at, qid, attempt, is_item, reason, code, fault, message, worker_id, result)
  select job_key, epoch, queued_at, claimed_at, qid, attempt, class = 0, 'Error', 'workers-lost', 'machine', final_message, worker_id,
    json_build_object('isTimedOut', false, 'outputs', json_build_object(), 'error', json_build_object('statusCode', null,
      'json', json_build_object('message', final_message)))
  from whole where is_final),
noted as (
  insert into asman.event (qid, job_keys, epochs, kind, reason, code, fault, worker_id, attempt, claimed_at, message)
  select qid, array[job_key], array[epoch], case when is_final then 'finished' else 'requeued' end,
    case when is_final then 'Error' else 'WorkerLost' end, case when is_final then 'workers-lost' end, 'machine', worker_id, attempt,
    claimed_at, why
  from whole)
select qid, job_id, is_final from whole
$$;
