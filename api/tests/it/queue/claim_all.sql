-- What a claim does to the tables, for a test that holds it open: a worker named w takes everything.
with gone as (delete from asman.queued returning *),
known as (
  insert into asman.worker (qid, worker_id, version, executor, cpus, gpus, memory_bytes, max_seconds, tags)
  select distinct qid, 'w', '', '', 1, 0, 0, 3600, '{}'::text[] from gone)
insert into asman.running (qid, job_id, epoch, worker_id, attempt, deadline, class, priority, seq, definition_hash, is_true_id,
  is_debug, namespaces, cpus, gpus, memory_bytes, required_seconds, max_seconds, tags, n_lost, queued_at)
select qid, job_id, nextval('asman.epoch_seq'), 'w', attempt + 1, now() + interval '1 hour', class, priority, seq, definition_hash,
  is_true_id, is_debug, namespaces, cpus, gpus, memory_bytes, required_seconds, max_seconds, tags, n_lost, queued_at
from gone
