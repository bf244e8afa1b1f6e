-- Queue a batch of jobs. A job that is sent several times is queued once.
-- in:    the submissions: see asman.submission
-- out:   one row a submission, in order: outcome 'new' (queued now), 'queued', 'running' (the queue has it already; the namespace
--        joined) or 'finished' (an earlier result is reused; nothing runs). A Success is reused, and so is an Error or a TimedOut
--        whose fault is the job's. An end that was caused by a machine, a network or settings is not reused, because the next run
--        may end differently. The same goes for an end without a fault, as in rows from before faults were stored
-- locks: the queues' advisory locks, shared; one transaction-level advisory lock a job, taken in order. Two submissions of one
--        job therefore run one after the other, and the second reads the tables after the first has committed. Without this lock
--        a submission with an old snapshot, taken before another submission's insert and claim, would queue the job a second
--        time. Then the rows of jobs that the queue already has: a claim, a cancel or a finish that is under way ends first and
--        is seen, and none begins before the commit. Without these locks a namespace could join a job whose row was just deleted,
--        and the job would be lost. Then the rows of asman.job, and the holds of namespaces other than `_`: see asman.take_holds.
-- index: job_name, queued_job_key, running_pkey, finished_pkey, webhook_job, webhook_untold
create or replace function asman.submit(batch asman.submission[]) returns table (ord int8, outcome text)
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  keys int8[];
begin
  -- asman.add_items takes this lock exclusively, so no item is added to these queues before the commit.
  perform pg_advisory_xact_lock_shared(k.key) from (select distinct asman.queue_lock(s.qid) as key from unnest(batch) s order by 1) k;
  perform pg_advisory_xact_lock(k.key) from (select distinct asman.job_lock(s.qid, s.job_id) as key from unnest(batch) s order by 1) k;

  -- Look among the waiting jobs, among the running jobs, and again among the waiting jobs, because a release may move the job
  -- back in between.
  keys := array(select distinct j.key from unnest(batch) s cross join lateral asman.job_named(s.qid, s.job_id) j order by 1);
  if cardinality(keys) > 0 then
    perform from unnest(keys) k (key) cross join lateral (select from asman.queued q where q.job_key = k.key for update) l;
    perform from unnest(keys) k (key) cross join lateral (select from asman.running r where r.job_key = k.key for update) l;
    perform from unnest(keys) k (key) cross join lateral (select from asman.queued q where q.job_key = k.key for update) l;
  end if;

  perform asman.keep_definitions(array(select s.hash from unnest(batch) s), array(select s.body from unnest(batch) s));
  perform asman.keep_classes(batch);

  return query
  with item as materialized (
    select s.*, (select j.key from asman.job_named(s.qid, s.job_id) j) as job_key
    from unnest(batch) with ordinality s (qid, job_id, hash, body, namespace, is_true_id, is_debug, class, priority, cpus, gpus,
      memory_bytes, required_seconds, max_seconds, tags, queue, callbacks, is_again, sent_id, ord)),
  found as materialized (
    select i.ord, i.qid, i.job_id, i.job_key, i.namespace,
      case when i.job_key is null then 'new'
           when (select true from asman.running r where r.job_key = i.job_key limit 1) then 'running'
           when (select true from asman.queued q where q.job_key = i.job_key limit 1) then 'queued'
           when i.is_again is not true and
                (select f.reason = 'Success' or (f.reason in ('Error', 'TimedOut') and f.fault = 'job')
                 from asman.finished f where f.job_key = i.job_key order by f.finished_at desc limit 1) then 'finished'
           else 'new' end as outcome
    from item i),
  joiner as materialized (
    select f.qid, f.job_id, f.job_key, f.outcome, array_agg(distinct f.namespace) as namespaces from found f group by 1, 2, 3, 4),
  first as materialized (
    select distinct on (i.qid, i.job_id) i.* from item i join found f using (ord) where f.outcome = 'new'
    order by i.qid, i.job_id, i.ord),
  named as (
    insert into asman.job as j (qid, job_id, definition_hash, class, priority, max_seconds, is_true_id, is_debug, namespaces)
    select n.qid, n.job_id, n.hash, n.class, n.priority, n.max_seconds, n.is_true_id, n.is_debug, w.namespaces
    from first n join joiner w on (w.qid, w.job_id, w.outcome) = (n.qid, n.job_id, 'new') order by n.ord
    on conflict (job_id, qid) do update set definition_hash = excluded.definition_hash, class = excluded.class,
      priority = excluded.priority, seq = excluded.seq, max_seconds = excluded.max_seconds, is_true_id = excluded.is_true_id,
      is_debug = excluded.is_debug, namespaces = excluded.namespaces, queued_at = excluded.queued_at
    returning j.*),
  added as (
    insert into asman.queued (qid, class, priority, seq, job_key) select n.qid, n.class, n.priority, n.seq, n.key from named n),
  joined as (
    update asman.job j set namespaces = asman.union_of(j.namespaces, w.namespaces)
    from joiner w
    where w.outcome in ('queued', 'running') and j.key = any (array[w.job_key]) and not j.namespaces @> w.namespaces
    returning j.qid, j.key, w.namespaces),
  -- A "queued" delivery is due once for each namespace of the job. A "finished" delivery is due when the job ends, or now if an
  -- earlier result is reused.
  owed as (
    select distinct on (i.qid, i.job_id, i.namespace, c.key, c.value ->> 'url') i.*, f.outcome, c.key as kind, c.value as callback,
      coalesce(i.job_key, (select n.key from named n where n.job_id = i.job_id and n.qid = i.qid limit 1)) as owed_key
    from item i join found f using (ord) cross join lateral json_each(i.callbacks::json) c
    where i.callbacks is not null and c.key in ('queued', 'finished') and json_typeof(c.value) = 'object'
      and (c.key = 'finished' or f.outcome in ('new', 'finished')
        or not exists (select from asman.job j where j.key = any (array[i.job_key]) and j.namespaces @> array[i.namespace]))
    order by i.qid, i.job_id, i.namespace, c.key, c.value ->> 'url', i.ord),
  armed as (
    insert into asman.webhook (qid, job_id, job_key, sent_id, queue, namespace, kind, url, payload, due_at, expires_at, reason, status_code)
    select o.qid, o.job_id, o.owed_key, nullif(o.sent_id, o.job_id), o.queue, o.namespace, o.kind, o.callback ->> 'url',
      o.callback -> 'payload', case when is_due then now() end, case when is_due then now() + asman.delivery_lifetime() end, e.reason,
      e.status_code
    from owed o
    cross join lateral (select o.kind = 'queued' or o.outcome = 'finished' as is_due) d
    left join lateral (
      select f.reason, f.status_code from asman.finished f where o.outcome = 'finished' and o.kind = 'finished'
        and f.job_key = o.owed_key order by f.finished_at desc limit 1) e on true
    -- A delivery that still tries to reach its receiver is not added again, even when the submission is repeated.
    left join lateral (
      select true as is_told from asman.webhook w where is_due and w.job_key = o.owed_key and w.due_at is not null
        and (w.namespace, w.kind, w.url) = (o.namespace, o.kind, o.callback ->> 'url') and w.reason is not distinct from e.reason
      limit 1) u on true
    where u.is_told is null
    on conflict (job_key, namespace, kind, md5(url)) where due_at is null do nothing),
  noted as (
    insert into asman.event (qid, job_keys, kind, namespace)
    select n.qid, array[n.key], 'queued', f.namespace from named n join first f on (f.qid, f.job_id) = (n.qid, n.job_id)
    union all select j.qid, array[j.key], 'joined', j.namespaces[1] from joined j)
  select f.ord, case when f.outcome = 'new' and not exists (select from first n where n.ord = f.ord) then 'queued' else f.outcome end
  from found f order by f.ord;

  if exists (select from unnest(batch) s where s.namespace <> '_') then
    perform asman.take_holds(array(select s.qid from unnest(batch) s), array(select s.namespace from unnest(batch) s),
      array(select s.job_id from unnest(batch) s));
  end if;
end $$;

-- Store definitions that are not stored yet. Of several texts with the same hash, one is stored.
-- locks: the new rows, and rows that were last used more than a day ago
-- index: definition_pkey
create or replace function asman.keep_definitions(hashes bytea[], bodies text[]) returns void
language sql set enable_seqscan = off as $$
  insert into asman.definition (hash, body)
  select distinct on (d.hash) d.hash, d.body from unnest(hashes, bodies) as d (hash, body) order by d.hash
  on conflict (hash) do update set used_at = now() where definition.used_at < now() - interval '1 day'
$$;

-- Store the classes of submissions that are not stored yet. Two transactions that bring the same class at the same time do not wait
-- for each other: each stores a row, and the rows are alike. maintain() removes the second.
-- locks: the new rows, and rows that were last used more than a day ago. Of these, a row that another transaction has locked is
--        skipped, unless maintain() may delete it: then this statement waits for the lock
-- index: class_class
create or replace function asman.keep_classes(batch asman.submission[]) returns void
language sql set enable_seqscan = off as $$
  update asman.class c set used_at = now()
  from (select distinct b.class from unnest(batch) b) s
  where c.class = any (array[s.class]) and c.used_at < now() - interval '30 days';
  update asman.class c set used_at = now()
  from (select o.ctid as place from (select distinct b.class from unnest(batch) b) s
        join asman.class o on o.class = any (array[s.class])
        where o.used_at < now() - interval '1 day' for update of o skip locked) o
  where c.ctid = o.place;
  insert into asman.class (class, kind, cpus, gpus, memory_bytes, required_seconds, tags, labels)
  select s.class, case s.class when 0 then 'item' else 'container' end, s.cpus, s.gpus, s.memory_bytes, s.required_seconds, t.tags,
    case s.class when 0 then '{}' else asman.labels_of(t.tags) end
  from (select distinct on (b.class) b.* from unnest(batch) b order by b.class) s
  cross join lateral (select coalesce(string_to_array(nullif(s.tags, ''), '/'), '{}') as tags) t
  where (select true from asman.class c where c.class = s.class limit 1) is null
$$;

-- The elements of both arrays, each once, in order.
create or replace function asman.union_of(a text[], b text[]) returns text[]
language sql immutable parallel safe
return (select array_agg(distinct e order by e) from unnest(a || b) as u (e));
