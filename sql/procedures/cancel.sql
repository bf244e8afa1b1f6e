-- Cancel a job in one namespace ('*': in all). The job ends when no namespace holds it.
-- in:    reason 'Cancelled', 'JobReplacedByClient' or 'Deleted'; 'Deleted' also removes the result of a finished job
-- out:   'ended', 'left' (other namespaces still hold it), 'absent' (this namespace did not hold it), 'finished' (too late),
--        'removed' (its result was removed before), 'unknown'
-- locks: the job's row. The function looks in the table of waiting jobs, then in that of running jobs, each time with a new
--        snapshot. It starts again while a claim or a requeue moves the row in between, at most a thousand times.
-- index: queued_job, running_pkey, finished_pkey, regardless of the statistics: see docs/sql-internals.md
create or replace function asman.cancel(qid_in uuid, job_id_in text, namespace_in text, reason_in text, message_in text)
returns text
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
declare
  j record;
  is_running bool;
  left_over text[];
begin
  for try in 1 .. 1000 loop
    is_running := false;
    select q.*, 0::int8 as epoch, null::text as worker_id, null::timestamptz as claimed_at into j
    from asman.queued q where (q.job_id, q.qid) between (job_id_in, qid_in) and (job_id_in, qid_in) for update;
    if not found then
      is_running := true;
      select r.* into j from asman.running r where (r.job_id, r.qid) between (job_id_in, qid_in) and (job_id_in, qid_in) for update;
    end if;
    if found then
      left_over := case when namespace_in = '*' then '{}' else array_remove(j.namespaces, namespace_in) end;
      if left_over = j.namespaces then return 'absent'; end if;
      if cardinality(left_over) > 0 then
        update asman.queued set namespaces = left_over where not is_running and (job_id, qid) between (job_id_in, qid_in) and (job_id_in, qid_in);
        update asman.running set namespaces = left_over where is_running and (job_id, qid) between (job_id_in, qid_in) and (job_id_in, qid_in);
        insert into asman.event (qid, job_id, kind, reason, namespace, message)
        values (qid_in, job_id_in, 'left', reason_in, namespace_in, message_in);
        update asman.webhook set due_at = now(), expires_at = now() + interval '24 hours', reason = reason_in
        where job_id = job_id_in and qid = qid_in and namespace = namespace_in and kind = 'finished' and due_at is null;
        return 'left';
      end if;
      delete from asman.queued where not is_running and (job_id, qid) between (job_id_in, qid_in) and (job_id_in, qid_in);
      delete from asman.running where is_running and (job_id, qid) between (job_id_in, qid_in) and (job_id_in, qid_in);
      insert into asman.finished (qid, job_id, epoch, attempt, reason, message, namespace, worker_id, definition_hash, is_true_id,
        is_debug, is_item, class, namespaces, cpus, gpus, memory_bytes, required_seconds, max_seconds, tags, queued_at, claimed_at)
      values (qid_in, job_id_in, j.epoch, j.attempt, reason_in, message_in, namespace_in, j.worker_id, j.definition_hash,
        j.is_true_id, j.is_debug, j.is_item, j.class, j.namespaces, j.cpus, j.gpus, j.memory_bytes, j.required_seconds,
        j.max_seconds, j.tags, j.queued_at, j.claimed_at);
      insert into asman.event (qid, job_id, kind, reason, worker_id, namespace, attempt, epoch, message)
      values (qid_in, job_id_in, 'finished', reason_in, j.worker_id, namespace_in, j.attempt, nullif(j.epoch, 0), message_in);
      return 'ended';
    end if;

    select f.* into j from asman.finished f where (f.job_id, f.qid) between (job_id_in, qid_in) and (job_id_in, qid_in) order by f.finished_at desc limit 1;
    if found then
      if j.reason = 'Deleted' then return 'removed'; end if;
      if reason_in <> 'Deleted' then return 'finished'; end if;
      delete from asman.finished where (job_id, qid) between (job_id_in, qid_in) and (job_id_in, qid_in);
      insert into asman.finished (qid, job_id, epoch, attempt, reason, message, namespace, worker_id, definition_hash, is_true_id,
        is_debug, is_item, class, namespaces, cpus, gpus, memory_bytes, required_seconds, max_seconds, tags, queued_at, claimed_at)
      values (qid_in, job_id_in, j.epoch, j.attempt, 'Deleted', message_in, namespace_in, j.worker_id, j.definition_hash,
        j.is_true_id, j.is_debug, j.is_item, j.class, j.namespaces, j.cpus, j.gpus, j.memory_bytes, j.required_seconds,
        j.max_seconds, j.tags, j.queued_at, j.claimed_at);
      insert into asman.event (qid, job_id, kind, reason, namespace, message)
      values (qid_in, job_id_in, 'deleted', 'Deleted', namespace_in, message_in);
      return 'ended';
    end if;
    -- One statement sees every job in exactly one table. If this job is in some table, it moved while we looked in another one.
    exit when not (exists (select from asman.queued where (job_id, qid) between (job_id_in, qid_in) and (job_id_in, qid_in))
      or exists (select from asman.running where (job_id, qid) between (job_id_in, qid_in) and (job_id_in, qid_in))
      or exists (select from asman.finished where (job_id, qid) between (job_id_in, qid_in) and (job_id_in, qid_in)));
  end loop;
  return 'unknown';
end $$;
