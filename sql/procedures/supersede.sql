-- The key of the advisory lock that makes submissions of one job, and its supersession, run one after the other.
create or replace function asman.job_lock(qid uuid, job_id text) returns int8
language sql immutable parallel safe
return hashtextextended(job_id, ('x' || left(qid::text, 8))::bit(32)::int8);

-- Give these jobs the holds of their namespaces. A namespace other than `_` holds one live job. The jobs that it held before will
-- end: see asman.supersession_grace.
-- in:    arrays of one length, one element a submission, in order; the last one of a namespace counts
-- out:   nothing; asman.supersession lists the jobs that will end
-- locks: the namespaces' hold rows, in order
-- index: hold_pkey, job_name, running_pkey, supersession_pkey
create or replace function asman.take_holds(qids uuid[], namespaces text[], job_ids text[]) returns void
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
begin
  -- For namespaces without a hold. If two submissions do this at the same time, the second waits here and then finds the job of the
  -- first.
  insert into asman.hold (qid, namespace, job_id)
  select distinct on (s.qid, s.namespace) s.qid, s.namespace, s.job_id
  from unnest(qids, namespaces, job_ids) with ordinality as s (qid, namespace, job_id, ord)
  where s.namespace <> '_' order by s.qid, s.namespace, s.ord
  on conflict do nothing;

  perform from (select distinct s.qid, s.namespace from unnest(qids, namespaces) as s (qid, namespace) order by 1, 2) s
  cross join lateral (select from asman.hold h where h.qid = s.qid and h.namespace = s.namespace for update) l;

  with sent as materialized (
    select s.* from unnest(qids, namespaces, job_ids) with ordinality as s (qid, namespace, job_id, ord) where s.namespace <> '_'),
  newest as materialized (
    select distinct on (s.qid, s.namespace) s.qid, s.namespace, s.job_id from sent s order by s.qid, s.namespace, s.ord desc),
  older as (
    select s.qid, s.namespace, s.job_id from sent s
    union select h.qid, h.namespace, h.job_id from newest n join asman.hold h using (qid, namespace)),
  ending as (
    insert into asman.supersession (qid, job_id, namespace, due_at)
    select o.qid, o.job_id, o.namespace, now() + asman.supersession_grace(r.claimed_at)
    from older o join newest n using (qid, namespace)
    left join lateral asman.running_named(o.qid, o.job_id) r on true
    where o.job_id <> n.job_id
    on conflict do nothing)
  update asman.hold h set job_id = n.job_id, since = now() from newest n
  where h.qid = n.qid and h.namespace = n.namespace and h.job_id <> n.job_id;
end $$;

-- End one superseded hold that is due, unless the namespace has submitted the job again in the meantime.
-- in:    nothing
-- out:   no row when nothing is due; else qid, and outcome as of asman.cancel, or 'kept'
-- locks: one supersession row (rows that others have locked are skipped), the job's advisory lock, then as asman.cancel
-- index: supersession_due, hold_pkey
create or replace function asman.supersede() returns table (qid uuid, outcome text)
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  s asman.supersession;
begin
  select d.* into s from asman.supersession d where d.due_at <= now() order by d.due_at limit 1 for update skip locked;
  if not found then return; end if;
  -- A submission of the same job either ends before the hold is read, or begins after the job has ended.
  perform pg_advisory_xact_lock(asman.job_lock(s.qid, s.job_id));
  delete from asman.supersession d where d.qid = s.qid and d.job_id = s.job_id and d.namespace = s.namespace;
  return query select s.qid, case
    when exists (select from asman.hold h where h.qid = s.qid and h.namespace = s.namespace and h.job_id = s.job_id) then 'kept'
    else asman.cancel(s.qid, s.job_id, s.namespace, 'JobReplacedByClient', 'a newer job took its namespace') end;
end $$;
