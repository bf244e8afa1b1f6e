-- The key of the advisory lock that protects the creation of a queue's rows. Submissions take it shared, items take it
-- exclusively.
create or replace function asman.queue_lock(qid uuid) returns int8
language sql immutable parallel safe
return hashtextextended('asman.items:' || qid::text, 0);

-- The items of a queue, each in its newest state, by the stages of the task-queue API: 0 waits, 1 is claimed, 2 ended well, 3
-- failed. Deleted jobs are left out. The function is inlined into the statements that use it, so that they read only what they
-- ask for.
-- in:    the queue
-- out:   one row an item
-- locks: none
-- index: queued_pkey, running_worker, finished_queue; finished_pkey, queued_job and running_pkey to see what is newest
create or replace function asman.items(qid_in uuid) returns table (job_id text, stage int4, priority int2, place int8,
  definition_hash bytea, is_item bool, is_true_id bool, attempt int2, n_lost int2, epoch int8, worker_id text,
  deadline timestamptz, reason text, message text, queued_at timestamptz, claimed_at timestamptz, finished_at timestamptz, result json)
language sql stable as $$
  select q.job_id, 0, q.priority, q.seq, q.definition_hash, q.is_item, q.is_true_id, q.attempt, q.n_lost, 0::int8, null::text,
    null::timestamptz, null::text, null::text, q.queued_at, null::timestamptz, null::timestamptz, null::json
  from asman.queued q where q.qid = qid_in
  union all
  select r.job_id, 1, 0::int2, r.epoch, r.definition_hash, r.is_item, r.is_true_id, r.attempt, r.n_lost, r.epoch, r.worker_id, r.deadline,
    null::text, null::text, r.queued_at, r.claimed_at, null::timestamptz, null::json
  from asman.running r where r.qid = qid_in
  union all
  select f.job_id, case f.reason when 'Success' then 2 else 3 end, 0::int2, (extract(epoch from f.finished_at) * 1000000)::int8,
    f.definition_hash, f.is_item, f.is_true_id, f.attempt, 0::int2, f.epoch, f.worker_id, null::timestamptz, f.reason, f.message, f.queued_at,
    f.claimed_at, f.finished_at, f.result
  from asman.finished f where f.qid = qid_in and f.reason <> 'Deleted'
    and (select true from asman.finished g where g.job_id = f.job_id and g.qid = f.qid and g.finished_at > f.finished_at limit 1) is null
    and (select true from asman.queued q where (q.job_id, q.qid) between (f.job_id, f.qid) and (f.job_id, f.qid) limit 1) is null
    and (select true from asman.running r where (r.job_id, r.qid) between (f.job_id, f.qid) and (f.job_id, f.qid) limit 1) is null
$$;

-- Add items to a queue, each in its stage. An id that the queue has in any stage is skipped, and so is a container job that the
-- queue has under its other true id.
-- in:    the queue; arrays of one length; of equal ids the first counts; stages as in asman.items, 0 for a put; message: why it
--        is in its stage
-- out:   ord of each item that was added, counted from 1
-- locks: the queue's advisory lock, so that no other row is added to the queue at the same time: an id that is not found by the
--        look-up cannot exist when its row is added. Rows are added in the order of the arrays, which is the order of the queue.
-- index: queued_job, running_pkey, finished_pkey
create or replace function asman.add_items(
  qid_in uuid, job_ids text[], hashes bytea[], bodies text[], is_items bool[], true_ids bool[], classes int8[], cpus_in float8[],
  gpus_in int4[], memory_in int8[], required_in int4[], max_in int4[], tags_in text[], stages int4[], message_in text)
returns table (ord int8)
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  ids text[];
  fresh int8[];
begin
  perform pg_advisory_xact_lock(asman.queue_lock(qid_in));

  ids := asman.row_ids(array_fill(qid_in, array[cardinality(job_ids)]), job_ids, true_ids);
  select array_agg(i.ord order by i.ord) into fresh
  from (select u.job_id, min(u.ord) as ord from unnest(ids) with ordinality as u (job_id, ord) group by 1) as i
  -- One index look-up for each id. Written as `not exists` these would be joins. With statistics from a time when the table was
  -- empty, the planner would then read all rows for each id: 23 s for ten thousand of each.
  where (select true from asman.running r where (r.job_id, r.qid) between (i.job_id, qid_in) and (i.job_id, qid_in) limit 1) is null
    and (select true from asman.queued q where (q.job_id, q.qid) between (i.job_id, qid_in) and (i.job_id, qid_in) limit 1) is null
    and coalesce((select f.reason from asman.finished f where f.job_id = i.job_id and f.qid = qid_in
                  order by f.finished_at desc limit 1), 'Deleted') = 'Deleted';

  insert into asman.definition (hash, body)
  select distinct on (d.hash) d.hash, d.body
  from unnest(hashes, bodies) with ordinality as d (hash, body, ord) join unnest(fresh) as n (ord) using (ord) order by d.hash
  on conflict (hash) do update set used_at = now() where definition.used_at < now() - interval '1 day';

  return query
  with item as materialized (
    select s.*, coalesce(string_to_array(nullif(s.tag_text, ''), '/'), '{}') as tags, now() as at
    from unnest(ids, hashes, is_items, true_ids, classes, cpus_in, gpus_in, memory_in, required_in, max_in, tags_in, stages)
      with ordinality as s (job_id, hash, is_item, is_true_id, class, cpus, gpus, memory_bytes, required_seconds, max_seconds,
        tag_text, stage, ord)
    join unnest(fresh) as n (ord) using (ord)),
  numbered as materialized (
    select i.*, case when i.stage > 0 then nextval('asman.epoch_seq') end as epoch from item i order by i.ord),
  waiting as (
    insert into asman.queued (qid, class, job_id, definition_hash, is_true_id, is_item, namespaces, cpus, gpus, memory_bytes,
      required_seconds, max_seconds, tags)
    select qid_in, n.class, n.job_id, n.hash, n.is_true_id, n.is_item, '{_}', n.cpus, n.gpus, n.memory_bytes, n.required_seconds,
      n.max_seconds, n.tags from numbered n where n.stage = 0 order by n.ord),
  claimed as (
    insert into asman.running (qid, job_id, epoch, worker_id, attempt, deadline, by_deadline, class, priority, seq, definition_hash,
      is_true_id, is_debug, is_item, namespaces, cpus, gpus, memory_bytes, required_seconds, max_seconds, tags, n_lost, queued_at)
    select qid_in, n.job_id, n.epoch, 'task-queue', 1, 'infinity', true, n.class, 0, nextval('asman.queued_seq'), n.hash,
      n.is_true_id, false, n.is_item, '{_}', n.cpus, n.gpus, n.memory_bytes, n.required_seconds, n.max_seconds, n.tags, 0, n.at
    from numbered n where n.stage = 1),
  ended as (
    insert into asman.finished (qid, job_id, epoch, attempt, reason, message, definition_hash, is_true_id, is_debug, is_item, class,
      namespaces, cpus, gpus, memory_bytes, required_seconds, max_seconds, tags, queued_at, claimed_at)
    select qid_in, n.job_id, n.epoch, 1, case n.stage when 2 then 'Success' else 'Error' end, message_in, n.hash, n.is_true_id,
      false, n.is_item, n.class, '{_}', n.cpus, n.gpus, n.memory_bytes, n.required_seconds, n.max_seconds, n.tags, n.at, n.at
    from numbered n where n.stage > 1),
  noted as (
    insert into asman.event (qid, job_id, kind, namespace, message, reason, epoch)
    select qid_in, e.job_id, e.kind, case e.kind when 'queued' then '_' end, message_in, e.reason, e.epoch
    from (
      select n.ord, 0 as step, n.job_id, 'queued' as kind, null::text as reason, null::int8 as epoch from numbered n
      union all
      select n.ord, 1, n.job_id, case n.stage when 1 then 'claimed' else 'finished' end,
        case n.stage when 2 then 'Success' when 3 then 'Error' end, n.epoch from numbered n where n.stage > 0) e
    order by e.ord, e.step)
  select n.ord from numbered n order by n.ord;
end $$;
