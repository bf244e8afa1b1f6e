-- Claim one named job for a worker that asks for exactly this job, if the job still waits. The first worker that asks gets it.
-- The worker starts the job at once, so the pause after a lost claim is ignored. A worker without the job's labels does not get
-- it.
-- in:    $1 qid uuid, $2 job_id text, $3 worker_id text, $4 setup_seconds int4
-- out:   epoch int8: no row when the job does not wait, the queue is paused, or the worker is unknown or too small
-- locks: the queued row; a transaction that has locked it ends first
-- index: job_name, queued_job_key, class_class, worker_pkey
with wanted as (
  select q.job_key, least(j.max_seconds, w.max_seconds) as run_seconds
  from asman.job_named($1, $2) j
  cross join lateral (select k.* from asman.class k where k.class = j.class and k.kind = 'container' limit 1) c
  cross join lateral (
    select k.* from asman.worker k where k.qid = j.qid and k.worker_id = $3
      and c.labels <@ k.labels and c.gpus <= k.gpus and c.cpus <= k.cpus and c.required_seconds <= k.max_seconds limit 1) w
  cross join lateral (select k.job_key from asman.queued k where k.job_key = j.key for update) q
  where (select p.is_paused from asman.policy p where p.qid = j.qid) is not true),
gone as (
  delete from asman.queued q using wanted w where q.job_key = any (array[w.job_key]) returning q.*, w.run_seconds),
claimed as (
  insert into asman.running (job_key, epoch, deadline, qid, worker_id, attempt, n_lost, n_released)
  select job_key, nextval('asman.epoch_seq'), now() + make_interval(secs => run_seconds + $4::int4), qid, $3, attempt + 1, n_lost, n_released
  from gone on conflict (job_key) do nothing
  returning *),
noted as (
  insert into asman.event (qid, kind, worker_id, attempt, job_keys, epochs)
  select qid, 'claimed', worker_id, attempt, array[job_key], array[epoch] from claimed)
select c.epoch from claimed c;
