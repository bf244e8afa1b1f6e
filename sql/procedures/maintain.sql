-- Everything that time asks for: partitions to come, partitions expired, jobs that waited too long, definitions that nobody
-- can refer to any more, results that their queue's policy keeps no longer, holds and deliveries without a job, workers long gone. Idempotent; pg_cron and the API may both call it.
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
    insert into asman.finished (qid, job_id, epoch, attempt, reason, message, definition_hash, is_true_id, is_debug, is_item,
      class, namespaces, cpus, gpus, memory_bytes, required_seconds, max_seconds, tags, queued_at)
    select qid, job_id, 0, attempt, 'Cancelled', 'it waited too long for a worker', definition_hash, is_true_id, is_debug, is_item,
      class, namespaces, cpus, gpus, memory_bytes, required_seconds, max_seconds, tags, queued_at from gone)
  insert into asman.event (qid, job_id, kind, reason, message)
  select qid, job_id, 'expired', 'Cancelled', 'it waited too long for a worker' from gone;

  -- A definition is last used at a submission; then its job waits, runs (30 days at most) and is kept.
  with old as (
    select d.hash from asman.definition d where d.used_at < now() - keep_queued - keep_results - interval '31 days'
      -- An item may be claimed for ever.
      and not exists (select from asman.running r where r.definition_hash = d.hash)
    order by d.used_at limit 10000 for update skip locked)
  delete from asman.definition d using old where d.hash = old.hash;
  -- It is kept shortly before its definition is.
  delete from asman.login l where l.used_at < now() - interval '1 day'
    and not exists (select from asman.definition d where d.hash = l.hash);

  -- Queues that keep results for less time than the rest.
  with old as (
    select f.job_id, f.qid, f.finished_at from asman.queue q join asman.finished f on f.qid = q.qid
    where q.retention_days is not null and f.finished_at < now() - make_interval(days => q.retention_days) limit 10000),
  lines as (
    delete from asman.log_chunk l using old o where l.job_id = o.job_id and l.qid = o.qid
      and not exists (select from asman.running r where r.job_id = o.job_id and r.qid = o.qid))
  delete from asman.finished f using old o where (f.job_id, f.qid, f.finished_at) = (o.job_id, o.qid, o.finished_at);

  -- A job waits and runs for no longer than that: who held it then holds nothing now, and what it owed is void.
  delete from asman.hold h where h.since < now() - keep_queued - interval '31 days';
  delete from asman.webhook w where w.due_at is null and w.armed_at < now() - keep_queued - interval '33 days';

  -- Senders give up by themselves. This is what nobody could try for a day after that.
  delete from asman.webhook w where w.expires_at < now() - interval '1 day';

  -- A delivery that was armed in the very moment in which its job ended: the job's end did not see it.
  with missed as materialized (
    select w.id, w.job_id, w.qid from asman.webhook w where w.due_at is null and w.armed_at < now() - interval '1 minute'
      and not exists (select from asman.queued q where q.job_id = w.job_id and q.qid = w.qid)
      and not exists (select from asman.running r where r.job_id = w.job_id and r.qid = w.qid) limit 10000)
  update asman.webhook w set due_at = now(), expires_at = now() + interval '24 hours', reason = f.reason, status_code = f.status_code
  from missed m cross join lateral (
    select f.reason, f.status_code from asman.finished f where f.job_id = m.job_id and f.qid = m.qid
    order by f.finished_at desc limit 1) f
  where w.id = m.id and w.due_at is null;

  delete from asman.worker w where w.last_seen < now() - interval '1 hour'
    and not exists (select from asman.running r where r.qid = w.qid and r.worker_id = w.worker_id);
end $$;
