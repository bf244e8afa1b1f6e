-- What a claim does to the tables, for a test that holds it open: a worker named w takes everything.
with gone as (delete from asman.queued returning *),
known as (
  insert into asman.worker (qid, worker_id, version, executor, cpus, gpus, memory_bytes, max_seconds, tags)
  select distinct qid, 'w', '', '', 1, 0, 0, 3600, '{}'::text[] from gone)
insert into asman.running (job_key, epoch, deadline, qid, worker_id, attempt, n_lost)
select job_key, nextval('asman.epoch_seq'), now() + interval '1 hour', qid, 'w', attempt + 1, n_lost from gone
