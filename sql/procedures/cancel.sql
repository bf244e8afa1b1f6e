-- Let go of a job in one namespace ('*': in all); it ends when nobody holds it any more.
-- in:    reason 'Cancelled', 'JobReplacedByClient' or 'Deleted'; 'Deleted' also throws a finished job's result away
-- out:   'ended', 'left' (others still hold it), 'absent' (this namespace did not hold it), 'finished' (too late), 'unknown'
-- locks: the job's row. It is looked for where it waits, then where it runs, each time with a new view, and again from
--        the start for as long as it moves in between, as by a claim or a requeue; a thousand times at most.
-- index: queued_job, running_pkey, finished_pkey
create or replace function asman.cancel(qid_in uuid, job_id_in text, namespace_in text, reason_in text, message_in text)
returns text
language plpgsql as $$
declare
  q asman.queued;
  r asman.running;
  f record;
  left_over text[];
begin
  for try in 1 .. 1000 loop
    select * into q from asman.queued where job_id = job_id_in and qid = qid_in for update;
    if found then
      left_over := case when namespace_in = '*' then '{}' else array_remove(q.namespaces, namespace_in) end;
      if left_over = q.namespaces then return 'absent'; end if;
      if cardinality(left_over) > 0 then
        update asman.queued set namespaces = left_over where job_id = job_id_in and qid = qid_in;
        insert into asman.event (qid, job_id, kind, namespace, message) values (qid_in, job_id_in, 'left', namespace_in, message_in);
        return 'left';
      end if;
      delete from asman.queued where job_id = job_id_in and qid = qid_in;
      insert into asman.finished (qid, job_id, epoch, attempt, reason, message, namespace, definition_hash, is_true_id, is_debug,
        namespaces, cpus, gpus, memory_bytes, tags, queued_at)
      values (qid_in, job_id_in, 0, q.attempt, reason_in, message_in, namespace_in, q.definition_hash, q.is_true_id, q.is_debug,
        q.namespaces, q.cpus, q.gpus, q.memory_bytes, q.tags, q.queued_at);
      insert into asman.event (qid, job_id, kind, reason, namespace, attempt, message)
      values (qid_in, job_id_in, 'finished', reason_in, namespace_in, q.attempt, message_in);
      return 'ended';
    end if;

    select * into r from asman.running where job_id = job_id_in and qid = qid_in for update;
    if found then
      left_over := case when namespace_in = '*' then '{}' else array_remove(r.namespaces, namespace_in) end;
      if left_over = r.namespaces then return 'absent'; end if;
      if cardinality(left_over) > 0 then
        update asman.running set namespaces = left_over where job_id = job_id_in and qid = qid_in;
        insert into asman.event (qid, job_id, kind, namespace, message) values (qid_in, job_id_in, 'left', namespace_in, message_in);
        return 'left';
      end if;
      delete from asman.running where job_id = job_id_in and qid = qid_in;
      insert into asman.finished (qid, job_id, epoch, attempt, reason, message, namespace, worker_id, definition_hash, is_true_id,
        is_debug, namespaces, cpus, gpus, memory_bytes, tags, queued_at, claimed_at)
      values (qid_in, job_id_in, r.epoch, r.attempt, reason_in, message_in, namespace_in, r.worker_id, r.definition_hash,
        r.is_true_id, r.is_debug, r.namespaces, r.cpus, r.gpus, r.memory_bytes, r.tags, r.queued_at, r.claimed_at);
      insert into asman.event (qid, job_id, kind, reason, worker_id, namespace, attempt, epoch, message)
      values (qid_in, job_id_in, 'finished', reason_in, r.worker_id, namespace_in, r.attempt, r.epoch, message_in);
      return 'ended';
    end if;

    select * into f from asman.finished where job_id = job_id_in and qid = qid_in order by finished_at desc limit 1;
    if found then
      if reason_in <> 'Deleted' or f.reason = 'Deleted' then return 'finished'; end if;
      delete from asman.finished where job_id = job_id_in and qid = qid_in;
      insert into asman.finished (qid, job_id, epoch, attempt, reason, message, namespace, worker_id, definition_hash, is_true_id,
        is_debug, namespaces, cpus, gpus, memory_bytes, tags, queued_at, claimed_at)
      values (qid_in, job_id_in, f.epoch, f.attempt, 'Deleted', message_in, namespace_in, f.worker_id, f.definition_hash,
        f.is_true_id, f.is_debug, f.namespaces, f.cpus, f.gpus, f.memory_bytes, f.tags, f.queued_at, f.claimed_at);
      insert into asman.event (qid, job_id, kind, reason, namespace, message)
      values (qid_in, job_id_in, 'deleted', 'Deleted', namespace_in, message_in);
      return 'ended';
    end if;
    -- One statement sees every job in exactly one place: if it is somewhere, it moved while we looked elsewhere.
    exit when not (exists (select from asman.queued where job_id = job_id_in and qid = qid_in)
      or exists (select from asman.running where job_id = job_id_in and qid = qid_in)
      or exists (select from asman.finished where job_id = job_id_in and qid = qid_in));
  end loop;
  return 'unknown';
end $$;
