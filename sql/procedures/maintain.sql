-- Everything that time asks for: partitions to come, partitions expired, jobs that waited too long, definitions that nobody
-- can refer to any more, workers long gone. Idempotent; pg_cron and the API may both call it.
-- Claims of lost workers are not its business: only an API process knows its lease, and since when heartbeats could be noted.
-- in:    how long results (and events) and logs are kept; how long a job may wait
-- locks: a transaction-level advisory lock, so that one call works and the others leave at once
create or replace procedure asman.maintain(
  keep_results interval default '28 days', keep_logs interval default '7 days', keep_queued interval default '28 days')
language plpgsql as $$
begin
  if not pg_try_advisory_xact_lock(hashtextextended('asman.maintain', 0)) then return; end if;
  perform asman.roll_partitions('finished', '1 week', 4, keep_results);
  perform asman.roll_partitions('event', '1 day', 4, keep_results);
  perform asman.roll_partitions('log_chunk', '1 day', 4, keep_logs);

  with late as (
    select q.qid, q.class, q.priority, q.seq from asman.queued q where q.queued_at < now() - keep_queued
    limit 10000 for update skip locked),
  gone as (
    delete from asman.queued q using late l where (q.qid, q.class, q.priority, q.seq) = (l.qid, l.class, l.priority, l.seq)
    returning q.*),
  ended as (
    insert into asman.finished (qid, job_id, epoch, attempt, reason, message, definition_hash, is_true_id, is_debug, namespaces,
      cpus, gpus, memory_bytes, tags, queued_at)
    select qid, job_id, 0, attempt, 'Cancelled', 'it waited too long for a worker', definition_hash, is_true_id, is_debug,
      namespaces, cpus, gpus, memory_bytes, tags, queued_at from gone)
  insert into asman.event (qid, job_id, kind, reason, message)
  select qid, job_id, 'expired', 'Cancelled', 'it waited too long for a worker' from gone;

  -- A definition is last used at a submission; then its job waits, runs (30 days at most) and is kept.
  with old as (
    select d.hash from asman.definition d where d.used_at < now() - keep_queued - keep_results - interval '31 days'
    order by d.used_at limit 10000 for update skip locked)
  delete from asman.definition d using old where d.hash = old.hash;

  delete from asman.worker w where w.last_seen < now() - interval '1 hour'
    and not exists (select from asman.running r where r.qid = w.qid and r.worker_id = w.worker_id);
end $$;
