-- Queue failed items again, behind all waiting ones. Other items stay as they are.
-- in:    $1 qid uuid, $2 job_ids text[] (each once)
-- out:   job_id text: those that now wait
-- locks: the finished rows; definitions that were last used before today, unless they are locked
-- index: job_name, job_pkey, finished_pkey, queued_job_key, running_pkey, definition_pkey
with wanted as materialized (
  select w.job_id, w.ord, j.key, j.definition_hash
  from unnest($2::text[]) with ordinality as w (job_id, ord) cross join lateral asman.job_named($1, w.job_id) j),
latest as materialized (
  select w.*, f.attempt, f.finished_at from wanted w cross join lateral (
    select f.* from asman.finished f where f.job_key = w.key order by f.finished_at desc limit 1) f
  where f.reason not in ('Success', 'Deleted')
    and (select true from asman.queued q where q.job_key = w.key limit 1) is null
    and (select true from asman.running r where r.job_key = w.key limit 1) is null),
-- The columns of an item are carried along instead of joined again: without statistics such a join compares each item with each.
gone as (
  delete from asman.finished f using latest l where f.job_key = any (array[l.key])
  returning l.*, f.finished_at = l.finished_at as is_latest),
used as (
  update asman.definition d set used_at = now()
  from (select o.hash from latest l join asman.definition o on o.hash = any (array[l.definition_hash])
        where o.used_at < now() - interval '1 day' for update of o skip locked) o
  where d.hash = any (array[o.hash])),
moved as (
  update asman.job j set seq = l.seq, queued_at = now()
  from (select a.key, a.attempt, nextval('asman.queued_seq') as seq
        from (select g.* from gone g where g.is_latest order by g.ord) a) l
  where j.key = any (array[l.key])
  returning j.*, l.attempt),
again as (
  insert into asman.queued (qid, class, priority, seq, job_key, attempt)
  select m.qid, m.class, m.priority, m.seq, m.key, m.attempt from moved m order by m.seq
  on conflict (job_key) do nothing
  returning job_key, seq, attempt),
noted as (
  insert into asman.event (qid, job_keys, kind, attempt, past)
  select $1, array[a.job_key], 'requeued', a.attempt, asman.past_of(a.job_key) from again a order by a.seq)
select g.job_id from gone g where g.is_latest;
