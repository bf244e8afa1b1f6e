-- Classes of waiting jobs, and which of them a connected worker can run.
--
-- A submission writes the class of its job as runnable and does not look at workers. A worker that connects first writes its own
-- row, then marks the classes that it can run. Before a class is marked as one that no worker can run, the workers are checked
-- under the same lock that connecting workers take while they mark. So in every order of these events a class that a worker can
-- run is marked before the worker's first claim looks at it. Submissions never wait for workers, and workers never wait for submissions.

-- The labels that a worker needs to run a job with these tags. The tags behind an empty string are the job's implicit labels. A
-- job that names no executor needs one that runs containers.
create or replace function asman.labels_of(tags text[]) returns text[]
language sql immutable parallel safe
return array(select 'tag:' || t.tag from unnest(tags) with ordinality t (tag, n)
    where t.n < coalesce(array_position(tags, ''), 2147483647))
  || case when '' = any (tags) then tags[array_position(tags, '') + 1:] else '{}' end
  || case when 'executor:process' = any (tags) and '' = any (tags)
      and 'executor:process' = any (tags[array_position(tags, '') + 1:]) then '{}'::text[] else '{executor:container}' end;

-- The key of the lock that protects the marks of a queue's classes.
create or replace function asman.worker_lock(qid uuid) returns int8
language sql immutable parallel safe
return hashtextextended('asman.workers:' || qid::text, 0);

-- Runs after each insert into asman.queued, whichever statement inserts. It makes sure that for each class of the new rows
-- asman.waiting_class has a row at their position or before it.
-- locks: the advisory lock of the queues that already have such a class, shared, so that no one deletes its row before the commit
-- index: waiting_class_pkey: one condition on the class, another on the row of the other columns, which begins with the queue. Only
--        the first column of a compared row ends a scan. If that were the class, the scan would read other queues: they have jobs of
--        the same class
create or replace function asman.note_classes() returns trigger
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
begin
  perform pg_advisory_xact_lock_shared(k.key) from (
    select distinct asman.queue_lock(f.qid) as key from (select distinct n.qid, n.class from fresh n) f
    where (select true from asman.waiting_class c where c.class = f.class and (c.qid, c.priority, c.seq) >= (f.qid, '-32768', 0)
           and (c.qid, c.priority, c.seq) <= (f.qid, '32767', 9223372036854775807) limit 1) order by 1) k;

  insert into asman.waiting_class (qid, class, priority, seq)
  select f.qid, f.class, f.priority, f.seq
  from (select n.qid, n.class, n.priority, min(n.seq) as seq from fresh n group by n.qid, n.class, n.priority) f
  where (select true from asman.waiting_class c where c.class = f.class and (c.qid, c.priority, c.seq) >= (f.qid, '-32768', 0)
         and (c.qid, c.priority, c.seq) <= (f.qid, f.priority, f.seq) limit 1) is null
  on conflict do nothing;
  return null;
end $$;

-- Mark the classes that a worker can run while it is idle. Called after the worker's row is committed, before its first claim.
-- in:    the worker, as it is registered
-- out:   whether the queue has so many runnable classes that they should be tidied up before claims scan them
-- locks: the queue's lock for marking; the rows that it marks
-- index: worker_pkey, waiting_class_place, class_class
create or replace function asman.count_worker(qid_in uuid, worker_id_in text) returns bool
language plpgsql set enable_seqscan = off set jit = off as $$
begin
  perform pg_advisory_xact_lock(asman.worker_lock(qid_in));
  update asman.waiting_class c set is_runnable = true
  from asman.worker w, asman.class k
  where w.qid = qid_in and w.worker_id = worker_id_in and c.qid = qid_in and not c.is_runnable and k.class = any (array[c.class])
    and k.cpus <= w.most_cpus and k.gpus <= w.most_gpus and k.memory_bytes <= w.most_memory and k.required_seconds <= w.most_seconds
    and k.labels <@ w.labels;
  update asman.worker w set is_counted = true where w.qid = qid_in and w.worker_id = worker_id_in and not w.is_counted;
  return (select count(*) > 200 from (
    select from asman.waiting_class c where c.offered_qid = qid_in
    order by c.priority, c.seq limit 201) n);
end $$;

-- Check the classes of a queue that were not checked lately. Classes without a waiting job are deleted. The others get the position
-- of their first job, and are marked as runnable when a registered worker can run them.
-- in:    the queue; the most rows to check; whether to skip the classes that no worker can run
-- out:   rows that were checked
-- locks: the queue's locks, each only if it is free: no submission and no new worker is in progress then
-- index: waiting_class_offered or waiting_class_place, waiting_class_pkey, class_class, queued_pkey, worker_pkey
create or replace function asman.tidy_classes(qid_in uuid, n_max int, only_runnable bool) returns int
language plpgsql set enable_seqscan = off set enable_sort = off set jit = off as $$
declare
  -- The locks are tried here, so that the statements below see everything that was committed before the locks were free.
  is_still constant bool := pg_try_advisory_xact_lock(asman.queue_lock(qid_in));
  is_counted constant bool := pg_try_advisory_xact_lock(asman.worker_lock(qid_in));
  classes int8[];
  priorities int2[];
  seqs int8[];
begin
  if not is_counted then return 0; end if;
  if only_runnable then
    select array_agg(o.class), array_agg(o.priority), array_agg(o.seq) into classes, priorities, seqs from (
      select c.class, c.priority, c.seq from asman.waiting_class c
      where c.offered_qid = qid_in and c.checked_at < now() - interval '1 minute'
      order by c.priority, c.seq limit n_max) o;
  else
    select array_agg(o.class), array_agg(o.priority), array_agg(o.seq) into classes, priorities, seqs from (
      select c.class, c.priority, c.seq from asman.waiting_class c
      where c.qid = qid_in and c.checked_at < now() - interval '1 minute'
      order by c.priority, c.seq limit n_max) o;
  end if;
  if classes is null then return 0; end if;

  -- The distinct worker profiles. Each is compared with each class.
  with profile as materialized (
    select distinct w.labels, w.most_cpus, w.most_gpus, w.most_memory, w.most_seconds from asman.worker w where w.qid = qid_in),
  seen as materialized (
    select o.class, o.priority, o.seq, h.priority as head_priority, h.seq as head_seq, n.rows, n.seq = o.seq as is_first,
      k.kind = 'item' or exists (select from profile p where k.cpus <= p.most_cpus and k.gpus <= p.most_gpus
        and k.memory_bytes <= p.most_memory and k.required_seconds <= p.most_seconds and k.labels <@ p.labels) as is_runnable
    from unnest(classes, priorities, seqs) as o (class, priority, seq)
    cross join lateral (select a.* from asman.class a where a.class = o.class limit 1) k
    join asman.waiting_class c on (c.class, c.qid, c.priority, c.seq) = (o.class, qid_in, o.priority, o.seq)
    left join lateral (
      select q.priority, q.seq from asman.queued q where q.qid = qid_in and q.class = o.class
      order by q.class, q.priority, q.seq limit 1) h on true
    cross join lateral (
      select (array_agg(f.seq))[1] as seq, count(*) as rows from (
        select d.seq from asman.waiting_class d where d.class = o.class and (d.qid, d.priority, d.seq) >= (qid_in, '-32768', 0)
          and (d.qid, d.priority, d.seq) <= (qid_in, '32767', 9223372036854775807)
        order by d.class, d.qid, d.priority, d.seq limit 2) f) n),
  gone as (
    delete from asman.waiting_class c using seen s
    where is_still and (c.class, c.qid, c.priority, c.seq) = (s.class, qid_in, s.priority, s.seq)
      and (s.head_seq is null or not s.is_first))
  update asman.waiting_class c set is_runnable = s.is_runnable, checked_at = now(),
    priority = case when is_still and s.rows = 1 then s.head_priority else c.priority end,
    seq = case when is_still and s.rows = 1 then s.head_seq else c.seq end
  from seen s
  where (c.class, c.qid, c.priority, c.seq) = (s.class, qid_in, s.priority, s.seq)
    and not (is_still and (s.head_seq is null or not s.is_first));
  return cardinality(classes);
end $$;

-- Runs asman.tidy_classes for the queues whose classes were not checked for the longest time.
-- in:    the most rows from which the queues are taken: each queue takes two locks until the commit
-- out:   queues looked at
create or replace function asman.tidy_idle_classes(n_max int) returns int
language plpgsql set enable_seqscan = off set jit = off as $$
declare
  key uuid;
  n int := 0;
begin
  for key in select distinct o.qid from (
    select c.qid from asman.waiting_class c where c.checked_at < now() - interval '10 minutes' order by c.checked_at limit n_max) o
  loop
    perform asman.tidy_classes(key, 2000, false);
    n := n + 1;
  end loop;
  return n;
end $$;
