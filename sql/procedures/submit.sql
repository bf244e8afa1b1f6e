-- Queue a batch of jobs. A job that is sent several times is queued once.
-- in:    arrays of one length, one element a submission; job_ids: as asman.row_ids returns them; callbacks: JSON of
--        `control.callbacks`, or null; queues: the queue's name where there are callbacks, else null; agains: whether to run the
--        job again in spite of an earlier result, null: never; sent_ids: the ids that the submitters use for their jobs, null:
--        the same as job_ids
-- out:   one row a submission, in order: outcome 'new' (queued now), 'queued', 'running' (the queue has it already; the namespace
--        joined) or 'finished' (an earlier result is reused; nothing runs). A Success is reused, and so is an Error or a TimedOut
--        whose fault is the job's. An end that was caused by a machine, a network or settings is not reused, because the next run
--        may end differently. The same goes for an end without a fault, as in rows from before faults were stored
-- locks: the queues' advisory locks, shared; one transaction-level advisory lock a job, taken in order. Two submissions of one
--        job therefore run one after the other, and the second reads the tables after the first has committed. Without this lock
--        a submission with an old snapshot, taken before another submission's insert and claim, would queue the job a second
--        time. Then the rows of jobs that the queue already has: a claim, a cancel or a finish that is under way ends first and
--        is seen, and none begins before the commit. Without these locks a namespace could join a row that was just deleted, and
--        its job would be lost. Then the holds of namespaces other than `_`: see asman.take_holds.
-- index: queued_job, running_pkey, finished_pkey, webhook_job, webhook_untold
create or replace function asman.submit(
  qids uuid[], job_ids text[], hashes bytea[], bodies text[], namespaces_in text[], true_ids bool[], debugs bool[],
  classes int8[], priorities int2[], cpus_in float8[], gpus_in int4[], memory_in int8[], required_in int4[], max_in int4[],
  tags_in text[], is_items bool[], queues text[], callbacks_in text[],
  agains bool[] default null, sent_ids text[] default null)
returns table (ord int8, outcome text)
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
begin
  -- Items of the queue are added under this lock only: see asman.add_items.
  perform pg_advisory_xact_lock_shared(k.key) from (select distinct asman.queue_lock(q.qid) as key from unnest(qids) as q (qid) order by 1) k;

  perform pg_advisory_xact_lock(k.key) from (
    select distinct asman.job_lock(s.qid, s.job_id) as key
    from unnest(qids, job_ids) as s (qid, job_id) order by 1) as k;

  -- Look among the waiting jobs, among the running jobs, and again among the waiting jobs, because a release may move the job
  -- back in between.
  for i in 1 .. 3 loop
    if i = 2 then
      perform from (select distinct u.job_id, u.qid from unnest(qids, job_ids) as u (qid, job_id) order by 1, 2) s
      cross join lateral (select from asman.running r where (r.job_id, r.qid) between (s.job_id, s.qid) and (s.job_id, s.qid) for update) l;
    else
      perform from (select distinct u.job_id, u.qid from unnest(qids, job_ids) as u (qid, job_id) order by 1, 2) s
      cross join lateral (select from asman.queued q where (q.job_id, q.qid) between (s.job_id, s.qid) and (s.job_id, s.qid) for update) l;
    end if;
  end loop;

  insert into asman.definition (hash, body)
  select distinct on (d.hash) d.hash, d.body from unnest(hashes, bodies) as d (hash, body) order by d.hash
  on conflict (hash) do update set used_at = now() where definition.used_at < now() - interval '1 day';

  return query
  with item as materialized (
    select * from unnest(qids, job_ids, hashes, namespaces_in, true_ids, debugs, classes, priorities, cpus_in, gpus_in, memory_in,
      required_in, max_in, tags_in, is_items, queues, callbacks_in, agains, sent_ids) with ordinality
      as s (qid, job_id, hash, namespace, is_true_id, is_debug, class, priority, cpus, gpus, memory_bytes, required_seconds,
        max_seconds, tags, is_item, queue, callbacks, is_again, sent_id, ord)),
  found as materialized (
    select i.ord, i.qid, i.job_id, i.namespace,
      case when (select true from asman.running r where (r.job_id, r.qid) between (i.job_id, i.qid) and (i.job_id, i.qid) limit 1) then 'running'
           when (select true from asman.queued q where (q.job_id, q.qid) between (i.job_id, i.qid) and (i.job_id, i.qid) limit 1) then 'queued'
           when i.is_again is not true and
                (select f.reason = 'Success' or (f.reason in ('Error', 'TimedOut') and f.fault = 'job')
                 from asman.finished f where f.job_id = i.job_id and f.qid = i.qid order by f.finished_at desc limit 1) then 'finished'
           else 'new' end as outcome
    from item i),
  joiner as materialized (
    select f.qid, f.job_id, f.outcome, array_agg(distinct f.namespace) as namespaces from found f group by 1, 2, 3),
  first as materialized (
    select distinct on (i.qid, i.job_id) i.* from item i join found f using (ord) where f.outcome = 'new'
    order by i.qid, i.job_id, i.ord),
  added as (
    insert into asman.queued (qid, class, priority, job_id, definition_hash, is_true_id, is_debug, is_item, namespaces, cpus, gpus,
      memory_bytes, required_seconds, max_seconds, tags)
    select n.qid, n.class, n.priority, n.job_id, n.hash, n.is_true_id, n.is_debug, n.is_item, j.namespaces, n.cpus, n.gpus,
      n.memory_bytes, n.required_seconds, n.max_seconds, coalesce(string_to_array(nullif(n.tags, ''), '/'), '{}')
    from first n join joiner j on (j.qid, j.job_id, j.outcome) = (n.qid, n.job_id, 'new') order by n.ord),
  joined_queued as (
    update asman.queued q set namespaces = asman.union_of(q.namespaces, j.namespaces)
    from joiner j
    where j.outcome = 'queued' and (q.job_id, q.qid) between (j.job_id, j.qid) and (j.job_id, j.qid) and not q.namespaces @> j.namespaces
    returning q.qid, q.job_id, j.namespaces),
  joined_running as (
    update asman.running r set namespaces = asman.union_of(r.namespaces, j.namespaces)
    from joiner j
    where j.outcome = 'running' and (r.job_id, r.qid) between (j.job_id, j.qid) and (j.job_id, j.qid) and not r.namespaces @> j.namespaces
    returning r.qid, r.job_id, j.namespaces),
  -- A "queued" delivery is due once for each hold. A "finished" delivery is due once, and at once when an earlier result is
  -- reused.
  owed as (
    select distinct on (i.qid, i.job_id, i.namespace, c.key, c.value ->> 'url') i.*, f.outcome, c.key as kind, c.value as callback
    from item i join found f using (ord) cross join lateral json_each(i.callbacks::json) c
    where i.callbacks is not null and c.key in ('queued', 'finished') and json_typeof(c.value) = 'object'
      and (c.key = 'finished' or f.outcome in ('new', 'finished')
        or (f.outcome = 'queued' and not exists (select from asman.queued q
              where (q.job_id, q.qid) between (i.job_id, i.qid) and (i.job_id, i.qid) and q.namespaces @> array[i.namespace]))
        or (f.outcome = 'running' and not exists (select from asman.running r
              where (r.job_id, r.qid) between (i.job_id, i.qid) and (i.job_id, i.qid) and r.namespaces @> array[i.namespace])))
    order by i.qid, i.job_id, i.namespace, c.key, c.value ->> 'url', i.ord),
  armed as (
    insert into asman.webhook (qid, job_id, sent_id, queue, namespace, kind, url, payload, due_at, expires_at, reason, status_code)
    select o.qid, o.job_id, nullif(o.sent_id, o.job_id), o.queue, o.namespace, o.kind, o.callback ->> 'url', o.callback -> 'payload',
      case when is_due then now() end, case when is_due then now() + interval '24 hours' end, e.reason, e.status_code
    from owed o
    cross join lateral (select o.kind = 'queued' or o.outcome = 'finished' as is_due) d
    left join lateral (
      select f.reason, f.status_code from asman.finished f where o.outcome = 'finished' and o.kind = 'finished'
        and f.job_id = o.job_id and f.qid = o.qid order by f.finished_at desc limit 1) e on true
    -- A delivery that still tries to reach its receiver is not added again, even when the submission is repeated.
    left join lateral (
      select true as is_told from asman.webhook w where is_due and w.job_id = o.job_id and w.qid = o.qid and w.due_at is not null
        and (w.namespace, w.kind, w.url) = (o.namespace, o.kind, o.callback ->> 'url') and w.reason is not distinct from e.reason
      limit 1) u on true
    where u.is_told is null
    on conflict (job_id, qid, namespace, kind, md5(url)) where due_at is null do nothing),
  noted as (
    insert into asman.event (qid, job_id, kind, namespace)
    select n.qid, n.job_id, 'queued', n.namespace from first n
    union all select qid, job_id, 'joined', namespaces[1] from joined_queued
    union all select qid, job_id, 'joined', namespaces[1] from joined_running)
  select f.ord, case when f.outcome = 'new' and not exists (select from first n where n.ord = f.ord) then 'queued' else f.outcome end
  from found f order by f.ord;

  if exists (select from unnest(namespaces_in) as n (namespace) where n.namespace <> '_') then
    perform asman.take_holds(qids, namespaces_in, job_ids);
  end if;
end $$;

-- The elements of both arrays, each once, in order.
create or replace function asman.union_of(a text[], b text[]) returns text[]
language sql immutable parallel safe
return (select array_agg(distinct e order by e) from unnest(a || b) as u (e));
