-- Maintenance: it ends jobs that waited too long; it deletes results past their queue's retention, jobs of which nothing is left,
-- unused definitions and classes, holds and deliveries without a job, and workers that left long ago; last, it creates
-- coming partitions and drops expired ones. It does not end the claims of lost workers: only an API process knows for how long a
-- worker may be silent, and since when heartbeats could be stored.

-- One step of asman.maintain. Each step is short and independent of the others.
create or replace function asman.maintain_step(step text, keep_results interval, keep_queued interval) returns void
language plpgsql as $$
begin
  if step = 'waiting jobs' then
    with late as (
      select q.job_key from asman.queued q join asman.job j on j.key = q.job_key where j.queued_at < now() - keep_queued
      limit 10000 for update of q skip locked),
    gone as (
      delete from asman.queued q using late l where q.job_key = l.job_key returning q.*),
    whole as materialized (select g.*, j.queued_at from gone g join asman.job j on j.key = g.job_key),
    ended as (
      insert into asman.finished (job_key, epoch, queued_at, qid, attempt, is_item, reason, code, message)
      select job_key, 0, queued_at, qid, attempt, class = 0, 'Cancelled', 'expired', 'it waited too long for a worker' from whole)
    insert into asman.event (qid, job_keys, epochs, kind, reason, code, message)
    select qid, array[job_key], array[null::int8], 'expired', 'Cancelled', 'expired', 'it waited too long for a worker' from whole;
  end if;
  if step = 'definitions' then
    -- A definition is last used by a submission. After that its job waits, runs (30 days at most) and is kept.
    with old as (
      select d.hash from asman.definition d where d.used_at < now() - keep_queued - keep_results - asman.longest_run()
        -- The claim of an item may last for ever.
        and not exists (select from asman.running r join asman.job j on j.key = r.job_key where j.definition_hash = d.hash)
      order by d.used_at limit 10000 for update skip locked)
    delete from asman.definition d using old where d.hash = old.hash;
    delete from asman.class c using asman.class d where d.class = c.class and d.ctid < c.ctid;
    delete from asman.class c where c.used_at < now() - keep_queued - keep_results - asman.longest_run() and c.class <> 0
      and not exists (select from asman.running r join asman.job j on j.key = r.job_key where j.class = c.class);
    -- An alias or a login is stored shortly before its definition, so a young one may have none yet.
    delete from asman.alias a where a.kept_at < now() - interval '1 day'
      and not exists (select from asman.definition d where d.hash = a.definition_hash);
    delete from asman.login l where l.used_at < now() - interval '1 day'
      and not exists (select from asman.definition d where d.hash = l.hash);
  end if;
  if step = 'results' then
    -- Queues whose retention is shorter than the default.
    with old as (
      select f.job_key, f.finished_at from asman.policy p join asman.finished f on f.qid = p.qid
      where p.retention_days is not null and f.finished_at < now() - make_interval(days => p.retention_days) limit 10000),
    lines as (
      delete from asman.log_chunk l using (
        select j.job_id, j.qid from old o join asman.job j on j.key = o.job_key
        where not exists (select from asman.running r where r.job_key = o.job_key)) o
      where l.job_id = o.job_id and l.qid = o.qid)
    delete from asman.finished f using old o where (f.job_key, f.finished_at) = (o.job_key, o.finished_at);
  end if;
  if step = 'jobs' then
    -- Jobs of which nothing is left: their last end was deleted, or dropped with its partition. A submission that is under way has
    -- locked the row of its job, so `skip locked` protects that row.
    with old as (
      select j.key from asman.job j where j.queued_at < now() - keep_results
        and not exists (select from asman.queued q where q.job_key = j.key)
        and not exists (select from asman.running r where r.job_key = j.key)
        and not exists (select from asman.finished f where f.job_key = j.key)
        and not exists (select from asman.webhook w where w.job_key = j.key)
      limit 10000 for update of j skip locked)
    delete from asman.job j using old o where j.key = o.key;
  end if;
  if step = 'holds and deliveries' then
    -- No job waits and runs for longer than this in total, so a hold or a delivery of this age has no job any more.
    delete from asman.hold h where h.since < now() - keep_queued - asman.longest_run();
    delete from asman.webhook w where w.due_at is null and w.armed_at < now() - keep_queued - asman.longest_run() - asman.delivery_lifetime();

    -- Senders give up by themselves. This deletes deliveries that no sender could try for another day.
    delete from asman.webhook w where w.expires_at < now() - interval '1 day';
  end if;
  if step = 'missed deliveries' then
    -- Deliveries that were armed at the same moment in which their job ended, so that the end did not see them.
    with missed as materialized (
      select w.id, w.job_key from asman.webhook w where w.due_at is null and w.armed_at < now() - interval '1 minute'
        and not exists (select from asman.queued q where q.job_key = w.job_key)
        and not exists (select from asman.running r where r.job_key = w.job_key) limit 10000)
    update asman.webhook w set due_at = now(), expires_at = now() + asman.delivery_lifetime(), reason = f.reason, status_code = f.status_code
    from missed m cross join lateral (
      select f.reason, f.status_code from asman.finished f where f.job_key = m.job_key order by f.finished_at desc limit 1) f
    where w.id = m.id and w.due_at is null;
  end if;
  if step = 'workers' then
    delete from asman.worker w where w.last_seen < now() - asman.worker_memory()
      and not exists (select from asman.running r where r.qid = w.qid and r.worker_id = w.worker_id);
  end if;
end $$;

-- Takes the lock that lets only one call work at a time. The lock ends with the transaction.
-- in:    patience: the longest wait for any lock in this transaction
create or replace function asman.may_maintain(patience text) returns bool language plpgsql as $$
begin
  perform set_config('lock_timeout', patience, true);
  return pg_try_advisory_xact_lock(hashtextextended('asman.maintain', 0));
end $$;

-- Runs the steps one by one, each in its own transaction. When a step fails, the others still run, and the failure is raised at
-- the end. Partitions come last, because such a change needs an exclusive lock on a table: it waits three times for a twentieth
-- of a second, then reports which process uses the table and leaves the change to the next call. Other statements wait behind
-- it for no longer than that. The procedure is idempotent. pg_cron and the API may both call it, but not inside a transaction.
-- in:    how long results (and events) and logs are kept; how long a job may wait
-- locks: a transaction-level advisory lock in each step, so that one call works and the others return at once
create or replace procedure asman.maintain(
  keep_results interval default '28 days', keep_logs interval default '7 days', keep_queued interval default '28 days')
language plpgsql as $$
declare
  one text;
  failures text := '';
  due record;
  is_done bool;
begin
  foreach one in array array['waiting jobs', 'results', 'jobs', 'definitions', 'holds and deliveries', 'missed deliveries',
    'workers'] loop
    if not asman.may_maintain('1s') then return; end if;
    begin
      perform asman.maintain_step(one, keep_results, keep_queued);
    exception when others then
      failures := failures || format('; %s: %s', one, sqlerrm);
    end;
    commit;
  end loop;

  for due in
    select 1 as n, 'finished' as parent, p.* from asman.due_partitions('finished', '1 week', 4, keep_results) p
    union all select 2, 'event', p.* from asman.due_partitions('event', '1 day', 4, keep_results) p
    union all select 3, 'log_chunk', p.* from asman.due_partitions('log_chunk', '1 day', 4, keep_logs) p
    order by n, action, lower_bound
  loop
    is_done := false;
    for try in 1 .. 3 loop
      exit when is_done;
      if not asman.may_maintain('50ms') then return; end if;
      begin
        perform asman.change_partition(due.parent, due.action, due.child, due.lower_bound, due.upper_bound);
        is_done := true;
      exception
        when lock_not_available then
          if try = 3 then
            raise warning 'partition % of % is left to the next call, because the table is in use: %', due.child, due.parent,
              asman.holder_of(due.parent);
          end if;
        when others then
          is_done := true;
          failures := failures || format('; partition %s: %s', due.child, sqlerrm);
      end;
      commit;
      if not is_done and try < 3 then perform pg_sleep(0.2); end if;
    end loop;
  end loop;
  if failures <> '' then raise exception 'maintenance failed in part%', failures; end if;
end $$;
