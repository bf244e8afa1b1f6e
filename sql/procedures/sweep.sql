-- End the claims of workers that stopped sending heartbeats, and claims past their deadline. Nothing is swept during the first
-- lease after the server's start, because no heartbeat could arrive while it was down.
-- in:    lease: how long a worker may be silent; n_lost_max: the number of lost claims that ends a job
-- out:   one row a lost claim
-- locks: the swept running rows; rows that another sweep has locked are skipped
-- index: worker_pkey; reads running as a whole, which is as large as the number of containers now running
create or replace function asman.sweep(lease interval, n_lost_max int2) returns table (qid uuid, job_id text, is_final bool)
language sql set enable_seqscan = off set jit = off as $$
with lost as (
  select r.qid, r.job_id,
    case when r.deadline < now() then 'it ran past its deadline' else 'its worker stopped answering' end as why
  from asman.running r left join asman.worker w on w.qid = r.qid and w.worker_id = r.worker_id
  -- A claim is a sign of life too: a worker that waited for a claim without sending heartbeats must not lose the claim at once.
  where (r.deadline < now() or (not r.by_deadline and greatest(w.last_seen, r.claimed_at) < now() - lease))
    and pg_postmaster_start_time() < now() - lease
  order by r.claimed_at limit 500
  for update of r skip locked),
gone as (
  delete from asman.running r using lost l where (r.job_id, r.qid) between (l.job_id, l.qid) and (l.job_id, l.qid)
  returning r.*, l.why, r.n_lost + 1 >= n_lost_max as is_final),
again as (
  insert into asman.queued (qid, class, priority, seq, job_id, definition_hash, is_true_id, is_debug, is_item, namespaces, cpus, gpus,
    memory_bytes, required_seconds, max_seconds, tags, attempt, n_lost, n_released, not_before, queued_at)
  select qid, class, priority, seq, job_id, definition_hash, is_true_id, is_debug, is_item, namespaces, cpus, gpus, memory_bytes,
    required_seconds, max_seconds, tags, attempt, n_lost + 1, n_released,
    now() + make_interval(secs => power(2, n_lost) * (0.75 + random() / 2)), queued_at
  from gone where not is_final
  on conflict do nothing),
ended as (
  insert into asman.finished (qid, job_id, epoch, attempt, reason, code, fault, message, worker_id, definition_hash, is_true_id, is_debug,
    is_item, class, namespaces, cpus, gpus, memory_bytes, required_seconds, max_seconds, tags, queued_at, claimed_at, result)
  select qid, job_id, epoch, attempt, 'Error', 'workers-lost', 'machine', format('given up after %s lost workers: %s', n_lost + 1, why), worker_id,
    definition_hash, is_true_id, is_debug, is_item, class, namespaces, cpus, gpus, memory_bytes, required_seconds, max_seconds, tags,
    queued_at, claimed_at,
    json_build_object('isTimedOut', false, 'outputs', json_build_object(), 'error', json_build_object('statusCode', null,
      'json', json_build_object('message', format('given up after %s lost workers: %s', n_lost + 1, why))))
  from gone where is_final),
noted as (
  insert into asman.event (qid, job_id, kind, reason, code, fault, worker_id, attempt, epoch, message)
  select qid, job_id, case when is_final then 'finished' else 'requeued' end, case when is_final then 'Error' else 'WorkerLost' end,
    case when is_final then 'workers-lost' end, 'machine', worker_id, attempt, epoch, why
  from gone)
select qid, job_id, is_final from gone
$$;
