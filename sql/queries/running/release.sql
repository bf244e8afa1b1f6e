-- Put claims back into the queue, at their old place and without penalty.
-- in:    $1 qid uuid[], $2 job_id text[], $3 epoch int8[]
-- out:   qid uuid, job_id text, epoch int8: the claims put back
-- locks: the released running rows
-- index: running_pkey
with back as (
  select * from unnest($1::uuid[], $2::text[], $3::int8[]) as b (qid, job_id, epoch)),
gone as (
  delete from asman.running r using back b
  where (r.job_id, r.qid) between (b.job_id, b.qid) and (b.job_id, b.qid) and r.epoch = b.epoch returning r.*),
again as (
  insert into asman.queued (qid, class, priority, seq, job_id, definition_hash, is_true_id, is_debug, is_item, namespaces, cpus, gpus,
    memory_bytes, required_seconds, max_seconds, tags, attempt, n_lost, queued_at)
  select qid, class, priority, seq, job_id, definition_hash, is_true_id, is_debug, is_item, namespaces, cpus, gpus, memory_bytes,
    required_seconds, max_seconds, tags, attempt, n_lost, queued_at
  from gone on conflict do nothing),
noted as (
  insert into asman.event (qid, job_id, kind, worker_id, attempt, epoch)
  select qid, job_id, 'released', worker_id, attempt, epoch from gone)
select qid, job_id, epoch from gone;
