-- Queue a batch as asman.submit does, each job under the id that its queue uses for it, and within the limits of the queues'
-- policies. For queues without such a policy this costs one look-up in asman.queue a batch.
-- in:    as of asman.submit; job_ids: any true id is accepted
-- out:   as of asman.submit, with the job_id of the row; and the outcomes 'queue full' and 'namespace full': for these nothing is
--        stored
-- locks: the policies' rows of queues with a limit, in order, before every lock of asman.submit. Batches for such queues
--        therefore run one after the other, and two of them never count the same free slots
-- index: queue_pkey, queued_pkey, queued_job, running_pkey, finished_pkey
-- The limits may be exceeded by jobs that come back from a lost or drained worker, and by one job for each job that is cancelled
-- between the count and the submission of the same job.
create or replace function asman.submit_within_limits(
  qids uuid[], job_ids text[], hashes bytea[], bodies text[], namespaces_in text[], true_ids bool[], debugs bool[],
  classes int8[], priorities int2[], cpus_in float8[], gpus_in int4[], memory_in int8[], required_in int4[], max_in int4[],
  tags_in text[], is_items bool[], queues text[], callbacks_in text[], agains bool[] default null,
  sent_ids text[] default null)
returns table (ord int8, outcome text, job_id text)
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  ids constant text[] := asman.row_ids(qids, job_ids, true_ids);
  refused int8[];
  words text[];
  kept int4[];
begin
  if not exists (select from asman.queue p where p.qid = any (qids)
    and (p.n_queued_max is not null or p.n_namespace_max is not null or p.max_seconds is not null)) then
    return query select s.ord, s.outcome, ids[s.ord] from asman.submit(qids, ids, hashes, bodies, namespaces_in, true_ids, debugs, classes,
      priorities, cpus_in, gpus_in, memory_in, required_in, max_in, tags_in, is_items, queues, callbacks_in, agains, sent_ids) s;
    return;
  end if;
  perform from asman.queue p where p.qid = any (qids) and (p.n_queued_max is not null or p.n_namespace_max is not null)
  order by p.qid for update;
  select array_agg(r.ord), array_agg(r.outcome) into refused, words from asman.over_limit(qids, ids, namespaces_in) r;
  kept := array(select i::int4 from generate_subscripts(qids, 1) i where i <> all (coalesce(refused, '{}')) order by i);
  return query
  with k as materialized (select i, n from unnest(kept) with ordinality k (i, n)),
  v as materialized (
    select array_agg(qids[k.i] order by n) qid, array_agg(ids[k.i] order by n) job_id, array_agg(hashes[k.i] order by n) hash,
      array_agg(bodies[k.i] order by n) body, array_agg(namespaces_in[k.i] order by n) namespace,
      array_agg(true_ids[k.i] order by n) is_true, array_agg(debugs[k.i] order by n) is_debug, array_agg(classes[k.i] order by n) class,
      array_agg(priorities[k.i] order by n) priority, array_agg(cpus_in[k.i] order by n) cpus, array_agg(gpus_in[k.i] order by n) gpus,
      array_agg(memory_in[k.i] order by n) memory, array_agg(required_in[k.i] order by n) required,
      array_agg(least(max_in[k.i], p.max_seconds) order by n) max_s, array_agg(tags_in[k.i] order by n) tags,
      array_agg(is_items[k.i] order by n) is_item, array_agg(queues[k.i] order by n) queue, array_agg(callbacks_in[k.i] order by n) callbacks,
      array_agg(agains[k.i] order by n) again, array_agg(sent_ids[k.i] order by n) sent_id
    from k left join asman.queue p on p.qid = qids[k.i])
  select k.i::int8, s.outcome, ids[k.i] from v
  cross join lateral asman.submit(v.qid, v.job_id, v.hash, v.body, v.namespace, v.is_true, v.is_debug, v.class, v.priority, v.cpus, v.gpus,
    v.memory, v.required, v.max_s, v.tags, v.is_item, v.queue, v.callbacks, v.again, v.sent_id) s
  join k on k.n = s.ord where cardinality(kept) > 0
  union all
  select r.ord, r.outcome, ids[r.ord] from unnest(refused, words) r (ord, outcome)
  order by 1;
end $$;

-- The submissions of a batch that exceed a limit of their queue. A job that the queue already has does not count again.
-- in:    arrays of one length, one element a submission, in order
-- out:   ord from 1, and 'queue full' or 'namespace full'
-- locks: none; the caller has locked the policies' rows
-- index: queue_pkey, queued_pkey, queued_job, running_pkey, finished_pkey
-- A count reads the queue's waiting rows, at most as many as its limit for the queue, all of them for a namespace.
create or replace function asman.over_limit(qids uuid[], job_ids text[], namespaces text[]) returns table (ord int8, outcome text)
language sql set enable_seqscan = off set jit = off as $$
with item as (
  select s.*, p.n_queued_max, p.n_namespace_max
  from unnest(qids, job_ids, namespaces) with ordinality s (qid, job_id, namespace, ord)
  join asman.queue p on p.qid = s.qid and (p.n_queued_max is not null or p.n_namespace_max is not null)),
place as materialized (
  select i.*, w.namespaces as held, w.job_id is null as is_new from item i
  left join asman.queued w on (w.job_id, w.qid) between (i.job_id, i.qid) and (i.job_id, i.qid)
  where (select true from asman.running r where (r.job_id, r.qid) between (i.job_id, i.qid) and (i.job_id, i.qid) limit 1) is null
    and (w.job_id is not null or (select f.reason from asman.finished f where f.job_id = i.job_id and f.qid = i.qid
      order by f.finished_at desc limit 1) in ('Success', 'Error', 'TimedOut') is not true)),
hold as (
  select p.qid, p.job_id, p.namespace, min(p.ord) as first, min(p.n_namespace_max) as n_max from place p
  where p.n_namespace_max is not null and (p.is_new or not p.held @> array[p.namespace]) group by 1, 2, 3),
full_namespace as materialized (
  select r.* from (select h.*, row_number() over (partition by h.qid, h.namespace order by h.first) as rank from hold h) r
  where r.rank > r.n_max - (select count(*) from asman.queued q where q.qid = r.qid and q.namespaces @> array[r.namespace])),
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
