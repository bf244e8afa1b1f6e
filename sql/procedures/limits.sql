-- Queue a batch as asman.submit does, each job under the id that its queue uses for it, and within the limits of the queues'
-- policies. For queues without such a policy this costs one look-up in asman.policy a batch.
-- in:    as of asman.submit; job_ids: any true id is accepted
-- out:   as of asman.submit, with the job_id of the row; and the outcomes 'queue full' and 'namespace full': for these nothing is
--        stored
-- locks: the policies' rows of queues with a limit, in order, before every lock of asman.submit. Batches for such queues
--        therefore run one after the other, and two of them never count the same free slots
-- index: policy_pkey, queued_pkey, job_name, queued_job_key, running_pkey, finished_pkey
-- The limits may be exceeded by jobs that come back from a lost or drained worker. They may also be exceeded by one for each job that
-- is counted as waiting already and is cancelled before asman.submit, which then queues it again.
create or replace function asman.submit_within_limits(batch asman.submission[]) returns table (ord int8, outcome text, job_id text)
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  qids constant uuid[] := array(select s.qid from unnest(batch) s);
  sent constant text[] := array(select s.job_id from unnest(batch) s);
  ids constant text[] := asman.row_ids(qids, sent, array(select s.is_true_id from unnest(batch) s));
  is_limited constant bool := exists (select from asman.policy p where p.qid = any (qids)
    and (p.n_queued_max is not null or p.n_namespace_max is not null or p.max_seconds is not null));
  refused int8[];
  words text[];
  kept int4[];
begin
  if ids <> sent then
    for i in 1 .. cardinality(batch) loop
      batch[i].job_id := ids[i];
    end loop;
  end if;
  if not is_limited then
    return query select s.ord, s.outcome, ids[s.ord] from asman.submit(batch) s;
    return;
  end if;
  perform from asman.policy p where p.qid = any (qids) and (p.n_queued_max is not null or p.n_namespace_max is not null)
  order by p.qid for update;
  select array_agg(r.ord), array_agg(r.outcome) into refused, words from asman.over_limit(batch) r;
  for i in 1 .. cardinality(batch) loop
    batch[i].max_seconds := least(batch[i].max_seconds, (select p.max_seconds from asman.policy p where p.qid = qids[i]));
  end loop;
  kept := array(select i::int4 from generate_subscripts(qids, 1) i where i <> all (coalesce(refused, '{}')) order by i);
  return query
  select kept[s.ord]::int8, s.outcome, ids[kept[s.ord]] from asman.submit(array(select batch[k.i] from unnest(kept) k (i))) s
  where cardinality(kept) > 0
  union all
  select r.ord, r.outcome, ids[r.ord] from unnest(refused, words) r (ord, outcome)
  order by 1;
end $$;

-- The submissions of a batch that exceed a limit of their queue. A job that the queue already has does not count again.
-- in:    the submissions, in order
-- out:   ord from 1, and 'queue full' or 'namespace full'
-- locks: none; the caller has locked the policies' rows
-- index: policy_pkey, queued_pkey, job_name, job_pkey, queued_job_key, running_pkey, finished_pkey
-- The count for the queue's limit reads at most as many waiting rows as the limit. The count for a namespace's limit reads all
-- waiting rows of the queue.
create or replace function asman.over_limit(batch asman.submission[]) returns table (ord int8, outcome text)
language sql set enable_seqscan = off set jit = off as $$
with item as (
  select s.qid, s.job_id, s.namespace, s.ord, p.n_queued_max, p.n_namespace_max
  from (select b.qid, b.job_id, b.namespace, b.ord from unnest(batch) with ordinality b (qid, job_id, hash, body, namespace, is_true_id,
    is_debug, class, priority, cpus, gpus, memory_bytes, required_seconds, max_seconds, tags, queue, callbacks, is_again, sent_id, ord)) s
  join asman.policy p on p.qid = s.qid and (p.n_queued_max is not null or p.n_namespace_max is not null)),
place as materialized (
  select i.*, w.namespaces as joined, w.job_id is null as is_new from item i
  left join lateral asman.queued_named(i.qid, i.job_id) w on true
  where (select true from asman.running_named(i.qid, i.job_id) limit 1) is null
    and (w.job_id is not null
      or (select f.reason from asman.finished_named(i.qid, i.job_id) f) in ('Success', 'Error', 'TimedOut') is not true)),
hold as (
  select p.qid, p.job_id, p.namespace, min(p.ord) as first, min(p.n_namespace_max) as n_max from place p
  where p.n_namespace_max is not null and (p.is_new or not p.joined @> array[p.namespace]) group by 1, 2, 3),
full_namespace as materialized (
  select r.* from (select h.*, row_number() over (partition by h.qid, h.namespace order by h.first) as rank from hold h) r
  where r.rank > r.n_max - (select count(*) from asman.queued q
    cross join lateral (select k.namespaces from asman.job k where k.key = q.job_key limit 1) j
    where q.qid = r.qid and j.namespaces @> array[r.namespace])),
newcomer as (
  select p.qid, p.job_id, min(p.ord) as first, min(p.n_queued_max) as n_max from place p
  where p.n_queued_max is not null and p.is_new
    and not exists (select from full_namespace f where (f.qid, f.job_id, f.namespace) = (p.qid, p.job_id, p.namespace))
  group by 1, 2),
full_queue as materialized (
  select r.* from (select n.*, row_number() over (partition by n.qid order by n.first) as rank from newcomer n) r
  where r.rank > r.n_max - (select count(*) from (select from asman.queued q where q.qid = r.qid limit r.n_max) c))
select p.ord, case when f.qid is not null then 'namespace full' else 'queue full' end
from place p
left join full_namespace f on (f.qid, f.job_id, f.namespace) = (p.qid, p.job_id, p.namespace)
left join full_queue n on (n.qid, n.job_id) = (p.qid, p.job_id)
where f.qid is not null or n.qid is not null
$$;
