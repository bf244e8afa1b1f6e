-- Delete items in any stage, with their results. A container job whose id is the hash of its definition stays, because it was not
-- submitted as an item: the client chooses the id of an item. The deleted ids may be used again. A live claim of a deleted item
-- ends.
-- in:    $1 qid uuid, $2 job_ids text[] (each once), $3 stage int4 (null: any): items in another stage stay
-- out:   job_id text: those that were deleted
-- locks: their rows
-- index: job_name, queued_job_key, running_pkey, finished_pkey, webhook_job
with wanted as materialized (
  select w.job_id, j.key
  from unnest($2::text[]) as w (job_id) cross join lateral asman.job_named($1, w.job_id) j
  where j.class = 0 or not j.is_true_id),
waiting as (
  delete from asman.queued q using wanted w where q.job_key = any (array[w.key]) and coalesce($3::int4, 0) = 0 returning q.job_key),
claimed as (
  delete from asman.running r using wanted w where r.job_key = any (array[w.key]) and coalesce($3::int4, 1) = 1 returning r.job_key),
latest as materialized (
  select w.key from wanted w cross join lateral (
    select f.reason from asman.finished f where f.job_key = w.key order by f.finished_at desc limit 1) f
  where f.reason <> 'Deleted' and ($3::int4 is null or ($3 = case f.reason when 'Success' then 2 else 3 end
      and (select true from asman.queued q where q.job_key = w.key limit 1) is null
      and (select true from asman.running r where r.job_key = w.key limit 1) is null))),
ended as (
  delete from asman.finished f using latest l where f.job_key = any (array[l.key]) returning f.job_key),
gone as (
  select job_key from waiting union select job_key from claimed union select job_key from ended),
void as (
  delete from asman.webhook h
  using (select w.id from gone g cross join lateral (
    select w.id from asman.webhook w where w.job_key = g.job_key and w.due_at is null offset 0) w) v
  where h.id = any (array[v.id])),
noted as (
  insert into asman.event (qid, job_keys, kind, past) select $1, array[g.job_key], 'removed', asman.past_of(g.job_key) from gone g)
select w.job_id from gone g join wanted w on w.key = g.job_key;
