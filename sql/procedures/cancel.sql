-- Cancel a job in one namespace ('*': in all). The job ends when it is in no namespace any more.
-- in:    reason 'Cancelled', 'JobReplacedByClient' or 'Deleted'; 'Deleted' also removes the result of a finished job
-- out:   'ended', 'left' (it is still in other namespaces), 'absent' (it was not in this namespace), 'finished' (too late),
--        'removed' (its result was removed before), 'unknown'
-- locks: the job's rows. The function looks in the table of waiting jobs, then in that of running jobs, each time with a new
--        snapshot. It starts again while a claim or a requeue moves the row in between, at most a thousand times.
-- index: job_name, job_pkey, queued_job_key, running_pkey, finished_pkey, regardless of the statistics: see docs/sql-internals.md
create or replace function asman.cancel(qid_in uuid, job_id_in text, namespace_in text, reason_in text, message_in text)
returns text
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
declare
  key_in int8;
  live record;
  job asman.job;
  left_over text[];
  past json;
begin
  for try in 1 .. 1000 loop
    key_in := asman.key_of(qid_in, job_id_in);
    if key_in is null then return 'unknown'; end if;
    select q.attempt, 0::int8 as epoch, null::text as worker_id, null::timestamptz as claimed_at into live
    from asman.queued q where q.job_key = key_in for update;
    if not found then
      select r.attempt, r.epoch, r.worker_id, r.claimed_at into live from asman.running r where r.job_key = key_in for update;
    end if;
    if found then
      select j.* into job from asman.job j where j.key = key_in for update;
      left_over := case when namespace_in = '*' then '{}' else array_remove(job.namespaces, namespace_in) end;
      if left_over = job.namespaces then return 'absent'; end if;
      if cardinality(left_over) > 0 then
        update asman.job set namespaces = left_over where key = key_in;
        insert into asman.event (qid, job_keys, kind, reason, namespace, message)
        values (qid_in, array[key_in], 'left', reason_in, namespace_in, message_in);
        update asman.webhook set due_at = now(), expires_at = now() + asman.delivery_lifetime(), reason = reason_in
        where job_key = key_in and namespace = namespace_in and kind = 'finished' and due_at is null;
        return 'left';
      end if;
      delete from asman.queued where job_key = key_in;
      delete from asman.running where job_key = key_in;
      perform asman.end_job(job, live.epoch, live.attempt, live.worker_id, live.claimed_at, reason_in, message_in, namespace_in);
      return 'ended';
    end if;

    select f.* into live from asman.finished f where f.job_key = key_in order by f.finished_at desc limit 1;
    if found then
      if live.reason = 'Deleted' then return 'removed'; end if;
      if reason_in <> 'Deleted' then return 'finished'; end if;
      past := asman.past_of(key_in);
      delete from asman.finished where job_key = key_in;
      insert into asman.finished (job_key, epoch, queued_at, claimed_at, qid, attempt, is_item, reason, worker_id, namespace, message)
      values (key_in, live.epoch, live.queued_at, live.claimed_at, qid_in, live.attempt, live.is_item, 'Deleted', live.worker_id,
        namespace_in, message_in);
      insert into asman.event (qid, job_keys, kind, reason, namespace, message, past)
      values (qid_in, array[key_in], 'deleted', 'Deleted', namespace_in, message_in, past);
      return 'ended';
    end if;
    -- A single statement sees every job in exactly one table. So if it finds this job, the job moved between the statements above.
    exit when not (exists (select from asman.queued where job_key = key_in) or exists (select from asman.running where job_key = key_in)
      or exists (select from asman.finished where job_key = key_in));
  end loop;
  return 'unknown';
end $$;

-- Store the end of a job that was cancelled. Its row in `queued` or `running` is deleted already.
create or replace function asman.end_job(job asman.job, epoch int8, attempt int2, worker_id text, claimed_at timestamptz, reason text,
  message text, namespace text) returns void
language sql set enable_seqscan = off as $$
  insert into asman.finished (job_key, epoch, queued_at, claimed_at, qid, attempt, is_item, reason, worker_id, namespace, message)
  values (job.key, epoch, job.queued_at, claimed_at, job.qid, attempt, job.class = 0, reason, worker_id, namespace, message);
  insert into asman.event (qid, job_keys, epochs, kind, reason, worker_id, namespace, attempt, message)
  values (job.qid, array[job.key], array[nullif(epoch, 0)], 'finished', reason, worker_id, namespace, attempt, message);
$$;
