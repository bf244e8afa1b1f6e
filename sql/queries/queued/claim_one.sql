-- Claim one named job for a worker that asks for exactly this job, if the job still waits. The first worker that asks gets it.
-- The worker starts the job at once, so the pause after a lost claim is ignored. A worker without the job's labels does not get
-- it.
-- in:    $1 qid uuid, $2 job_id text, $3 worker_id text, $4 setup_seconds int4
-- out:   epoch int8: no row when the job does not wait, the queue is paused, or the worker is unknown or too small
-- locks: the queued row; a transaction that has locked it ends first
-- index: queued_job, worker_pkey
with wanted as (
  select q.qid, q.job_id, least(q.max_seconds, w.max_seconds) as run_seconds
  from asman.queued q join asman.worker w on w.qid = q.qid and w.worker_id = $3
  where q.job_id = $2 and q.qid = $1 and not q.is_item and asman.labels_of(q.tags) <@ w.labels and q.gpus <= w.gpus and q.cpus <= w.cpus
    and q.required_seconds <= w.max_seconds and (select p.is_paused from asman.queue p where p.qid = q.qid) is not true
  for update of q),
gone as (
  delete from asman.queued q using wanted w where (q.job_id, q.qid) between ($2, $1) and ($2, $1) returning q.*, w.run_seconds),
claimed as (
  insert into asman.running (qid, job_id, epoch, worker_id, attempt, deadline, class, priority, seq, definition_hash, is_true_id,
    is_debug, is_item, namespaces, cpus, gpus, memory_bytes, required_seconds, max_seconds, tags, n_lost, n_released, queued_at)
  select qid, job_id, nextval('asman.epoch_seq'), $3, attempt + 1, now() + make_interval(secs => run_seconds + $4::int4),
    class, priority, seq, definition_hash, is_true_id, is_debug, is_item, namespaces, cpus, gpus, memory_bytes, required_seconds,
    max_seconds, tags, n_lost, n_released, queued_at
  from gone on conflict (job_id, qid) do nothing
  returning *),
noted as (
  insert into asman.event (qid, job_id, kind, worker_id, attempt, epoch)
  select qid, job_id, 'claimed', worker_id, attempt, epoch from claimed)
select c.epoch from claimed c;
