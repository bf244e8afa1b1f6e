-- Queue failed items again, behind all waiting ones. Other items stay as they are.
-- in:    $1 qid uuid, $2 job_ids text[] (each once)
-- out:   job_id text: those that now wait
-- locks: the finished rows; definitions that were last used before today, unless they are locked
-- index: finished_pkey, queued_job, running_pkey, definition_pkey
with wanted as (
  select * from unnest($2::text[]) with ordinality as w (job_id, ord)),
latest as materialized (
  select w.ord, f.* from wanted w cross join lateral (
    select f.* from asman.finished f where f.job_id = w.job_id and f.qid = $1 order by f.finished_at desc limit 1) f
  where f.reason not in ('Success', 'Deleted')
    and (select true from asman.queued q where (q.job_id, q.qid) between (f.job_id, $1) and (f.job_id, $1) limit 1) is null
    and (select true from asman.running r where (r.job_id, r.qid) between (f.job_id, $1) and (f.job_id, $1) limit 1) is null),
gone as (
  delete from asman.finished f using latest l where (f.job_id, f.qid) between (l.job_id, l.qid) and (l.job_id, l.qid) returning f.job_id, f.finished_at),
used as (
  update asman.definition d set used_at = now()
  from (select o.hash from latest l join asman.definition o on o.hash = any (array[l.definition_hash])
        where o.used_at < now() - interval '1 day' for update of o skip locked) o
  where d.hash = any (array[o.hash])),
again as (
  insert into asman.queued (qid, class, job_id, definition_hash, is_true_id, is_debug, is_item, namespaces, cpus, gpus, memory_bytes,
    required_seconds, max_seconds, tags, attempt)
  select l.qid, l.class, l.job_id, l.definition_hash, l.is_true_id, l.is_debug, l.is_item, l.namespaces, l.cpus, l.gpus, l.memory_bytes,
    l.required_seconds, l.max_seconds, l.tags, l.attempt
  from latest l where exists (select from gone g where g.job_id = l.job_id and g.finished_at = l.finished_at)
  order by l.ord on conflict (job_id, qid) do nothing
  returning job_id),
noted as (
  insert into asman.event (qid, job_id, kind, attempt)
  select $1, l.job_id, 'requeued', l.attempt from latest l join again a using (job_id) order by l.ord)
select distinct g.job_id from gone g;
