-- Delete items in any stage, with their results. A container job whose id is the hash of its definition stays, because it was not
-- submitted as an item: the client chooses the id of an item. The deleted ids may be used again. A live claim of a deleted item
-- ends.
-- in:    $1 qid uuid, $2 job_ids text[] (each once), $3 stage int4 (null: any): items in another stage stay
-- out:   job_id text: those that were deleted
-- locks: their rows
-- index: queued_job, running_pkey, finished_pkey, webhook_job
with wanted as (
  select * from unnest($2::text[]) as w (job_id)),
waiting as (
  delete from asman.queued q using wanted w
  where (q.job_id, q.qid) between (w.job_id, $1) and (w.job_id, $1) and (q.is_item or not q.is_true_id) and coalesce($3::int4, 0) = 0 returning q.job_id),
claimed as (
  delete from asman.running r using wanted w
  where (r.job_id, r.qid) between (w.job_id, $1) and (w.job_id, $1) and (r.is_item or not r.is_true_id) and coalesce($3::int4, 1) = 1 returning r.job_id),
latest as materialized (
  select f.* from wanted w cross join lateral (
    select f.job_id, f.qid, f.reason, f.is_item, f.is_true_id from asman.finished f where f.job_id = w.job_id and f.qid = $1 order by f.finished_at desc limit 1) f
  where (f.is_item or not f.is_true_id) and f.reason <> 'Deleted' and ($3::int4 is null or $3 = case f.reason when 'Success' then 2 else 3 end)
    and ($3::int4 is null or (
      (select true from asman.queued q where (q.job_id, q.qid) between (f.job_id, $1) and (f.job_id, $1) limit 1) is null
      and (select true from asman.running r where (r.job_id, r.qid) between (f.job_id, $1) and (f.job_id, $1) limit 1) is null))),
ended as (
  delete from asman.finished f using latest l where (f.job_id, f.qid) between (l.job_id, l.qid) and (l.job_id, l.qid) and (f.is_item or not f.is_true_id) returning f.job_id),
gone as (
  select job_id from waiting union select job_id from claimed union select job_id from ended),
void as (
  delete from asman.webhook h
  using (select w.id from gone g cross join lateral (
    select w.id from asman.webhook w where w.job_id = g.job_id and w.qid = $1 and w.due_at is null offset 0) w) v
  where h.id = any (array[v.id])),
noted as (
  insert into asman.event (qid, job_id, kind) select $1, g.job_id, 'removed' from gone g)
select g.job_id from gone g;
