-- The key of the advisory lock that protects the creation of a queue's rows. Submissions take it shared, items take it
-- exclusively.
create or replace function asman.queue_lock(qid uuid) returns int8
language sql immutable parallel safe
return hashtextextended('asman.items:' || qid::text, 0);

-- The classes whose first jobs are the next ones in the queue's order, container jobs included. The function is inlined into the
-- statements that use it.
-- in:    the queue; n_max: the number of jobs that are wanted
-- out:   class: a few more than n_max, 100 at most; none when the queue is paused
-- locks: none
-- index: waiting_class_place, queued_pkey: reads the 500 classes that may have the oldest jobs
create or replace function asman.classes_in_order(qid_in uuid, n_max int8) returns table (class int8)
language sql stable rows 10 as $$
  select k.class from (
    select distinct f.priority, f.seq, c.class
    from (select w.class, w.priority, w.seq from asman.waiting_class w
      where w.qid = qid_in and (select p.is_paused from asman.policy p where p.qid = qid_in) is not true
      order by w.priority, w.seq limit 500) c
    cross join lateral (
      select q.priority, q.seq from asman.queued q
      where q.qid = qid_in and q.class = c.class and (q.not_before is null or q.not_before <= now())
      order by q.class, q.priority, q.seq limit 1) f) k
  order by k.priority, k.seq limit least(n_max + 4, 100)
$$;

-- The items of a queue, each in its newest state, by the stages of the task-queue API: 0 waits, 1 is claimed, 2 ended well, 3
-- failed. Deleted jobs are left out. The function is inlined into the statements that use it, so that they read only what they
-- ask for.
-- in:    the queue
-- out:   one row an item
-- locks: none
-- index: queued_pkey, running_worker, finished_queue, job_pkey; finished_pkey, queued_job_key and running_pkey for the newest state
create or replace function asman.items(qid_in uuid) returns table (job_id text, stage int4, priority int2, place int8,
  definition_hash bytea, is_item bool, is_true_id bool, attempt int2, n_lost int2, epoch int8, worker_id text,
  deadline timestamptz, reason text, message text, queued_at timestamptz, claimed_at timestamptz, finished_at timestamptz, result json)
language sql stable as $$
  select j.job_id, 0, q.priority, q.seq, j.definition_hash, j.class = 0, j.is_true_id, q.attempt, q.n_lost, 0::int8, null::text,
    null::timestamptz, null::text, null::text, j.queued_at, null::timestamptz, null::timestamptz, null::json
  from asman.queued q cross join lateral (select k.* from asman.job k where k.key = q.job_key limit 1) j where q.qid = qid_in
  union all
  select j.job_id, 1, 0::int2, r.epoch, j.definition_hash, j.class = 0, j.is_true_id, r.attempt, r.n_lost, r.epoch, r.worker_id,
    r.deadline, null::text, null::text, j.queued_at, r.claimed_at, null::timestamptz, null::json
  from asman.running r cross join lateral (select k.* from asman.job k where k.key = r.job_key limit 1) j where r.qid = qid_in
  union all
  select j.job_id, case f.reason when 'Success' then 2 else 3 end, 0::int2, (extract(epoch from f.finished_at) * 1000000)::int8,
    j.definition_hash, f.is_item, j.is_true_id, f.attempt, 0::int2, f.epoch, f.worker_id, null::timestamptz, f.reason, f.message,
    f.queued_at, f.claimed_at, f.finished_at, f.result
  from asman.finished f cross join lateral (select k.* from asman.job k where k.key = f.job_key limit 1) j
  where f.qid = qid_in and f.reason <> 'Deleted'
    and (select true from asman.finished g where g.job_key = f.job_key and g.finished_at > f.finished_at limit 1) is null
    and (select true from asman.queued q where q.job_key = f.job_key limit 1) is null
    and (select true from asman.running r where r.job_key = f.job_key limit 1) is null
$$;

-- Add items to a queue, each in its stage. An id that the queue has in any stage is skipped, and so is a container job that the
-- queue has under its other true id.
-- in:    the queue; the items as submissions, each of class 0 or a container job; of equal ids the first counts; stages as in
--        asman.items, 0 for a put; message: why it is in its stage
-- out:   ord of each item that was added, counted from 1
-- locks: the queue's advisory lock, so that no other row is added to the queue at the same time: an id that is not found by the
--        look-up cannot exist when its row is added. Rows are added in the order of the arrays, which is the order of the queue.
-- index: job_name, queued_job_key, running_pkey, finished_pkey
create or replace function asman.add_items(qid_in uuid, batch asman.submission[], stages int4[], message_in text) returns table (ord int8)
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  ids text[];
  fresh int8[];
begin
  perform pg_advisory_xact_lock(asman.queue_lock(qid_in));

  ids := asman.row_ids(array(select s.qid from unnest(batch) s), array(select s.job_id from unnest(batch) s),
    array(select s.is_true_id from unnest(batch) s));
  select array_agg(i.ord order by i.ord) into fresh
  from (select u.job_id, min(u.ord) as ord from unnest(ids) with ordinality as u (job_id, ord) group by 1) as i
  -- One index look-up for each id. Written as `not exists` these would be joins. With statistics from a time when the table was
  -- empty, the planner would then read all rows for each id: 23 s for ten thousand ids and as many rows.
  where (select true from asman.running_named(qid_in, i.job_id) limit 1) is null
    and (select true from asman.queued_named(qid_in, i.job_id) limit 1) is null
    and coalesce((select f.reason from asman.finished_named(qid_in, i.job_id) f), 'Deleted') = 'Deleted';
  if fresh is null then return; end if;

  perform asman.keep_definitions(array_agg((batch[n.ord]).hash), array_agg((batch[n.ord]).body)) from unnest(fresh) n (ord);
  perform asman.keep_classes(array_agg(batch[n.ord])) from unnest(fresh) n (ord);

  return query
  with item as materialized (
    select s.*, ids[n.ord] as id, stages[n.ord] as stage, n.ord
    from unnest(fresh) as n (ord) cross join lateral (select (batch[n.ord]).*) s),
  named as materialized (
    insert into asman.job as j (qid, job_id, definition_hash, class, max_seconds, is_true_id, namespaces)
    select qid_in, i.id, i.hash, i.class, i.max_seconds, i.is_true_id, '{_}' from item i order by i.ord
    on conflict (job_id, qid) do update set definition_hash = excluded.definition_hash, class = excluded.class,
      priority = excluded.priority, seq = excluded.seq, max_seconds = excluded.max_seconds, is_true_id = excluded.is_true_id,
      is_debug = excluded.is_debug, namespaces = excluded.namespaces, queued_at = excluded.queued_at
    returning j.*),
  numbered as materialized (
    select j.*, i.stage, i.ord, case when i.stage > 0 then nextval('asman.epoch_seq') end as epoch
    from (select i.id, i.stage, i.ord from item i order by i.ord) i join named j on j.job_id = i.id order by i.ord),
  waiting as (
    insert into asman.queued (qid, class, priority, seq, job_key)
    select qid_in, n.class, n.priority, n.seq, n.key from numbered n where n.stage = 0),
  claimed as (
    insert into asman.running (job_key, epoch, deadline, qid, worker_id, attempt, by_deadline)
    select n.key, n.epoch, 'infinity', qid_in, 'task-queue', 1, true from numbered n where n.stage = 1),
  ended as (
    insert into asman.finished (job_key, epoch, queued_at, claimed_at, qid, attempt, is_item, reason, message)
    select n.key, n.epoch, n.queued_at, n.queued_at, qid_in, 1, n.class = 0, case n.stage when 2 then 'Success' else 'Error' end, message_in
    from numbered n where n.stage > 1),
  noted as (
    insert into asman.event (qid, job_keys, epochs, kind, namespace, message, reason)
    select qid_in, array[e.key], array[e.epoch], e.kind, case e.kind when 'queued' then '_' end, message_in, e.reason
    from (
      select n.ord, 0 as step, n.key, 'queued' as kind, null::text as reason, null::int8 as epoch from numbered n
      union all
      select n.ord, 1, n.key, case n.stage when 1 then 'claimed' else 'finished' end,
        case n.stage when 2 then 'Success' when 3 then 'Error' end, n.epoch from numbered n where n.stage > 0) e
    order by e.ord, e.step)
  select n.ord from numbered n order by n.ord;
end $$;
