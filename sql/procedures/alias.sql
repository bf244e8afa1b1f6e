-- The true id under which a queue stores a job. Today's rule gives a definition one id, and jobs are stored under it. The rule of
-- clients up to 0.54.80 may give another id, which is the alias. Rows that were written before today's rule keep their old id.

-- The row of the job that has this id in a queue. Either of the job's true ids finds it. Null when there is no such row. An
-- earlier release may have written several rows; the function then prefers the one that waits or runs, then one whose result can
-- be reused, then the id that was asked for.
-- out:   the job_id of the row
-- locks: none
-- index: alias_old, alias_job, job_name, running_pkey, queued_job_key, finished_pkey
create or replace function asman.row_id(qid_in uuid, id_in text) returns text
language plpgsql stable strict set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
begin
  return (with name as materialized (
    select coalesce((select a.job_id from asman.alias a where a.old_id = id_in limit 1), id_in) as job_id),
  candidate as materialized (
    select n.job_id, true as is_new from name n
    union select a.old_id, false from name n cross join lateral (select b.old_id from asman.alias b where b.job_id = n.job_id) a)
  select c.job_id from candidate c
  cross join lateral asman.job_named(qid_in, c.job_id) j
  cross join lateral (
    (select 2 as rank from asman.running r where r.job_key = j.key limit 1)
    union all
    (select 2 from asman.queued q where q.job_key = j.key limit 1)
    union all
    (select case when f.reason = 'Success' or (f.reason in ('Error', 'TimedOut') and f.fault = 'job') then 1 else 0 end
     from asman.finished f where f.job_key = j.key order by f.finished_at desc limit 1)) p
  where c.is_new or j.is_true_id
  order by p.rank desc, c.job_id = id_in desc, c.is_new desc limit 1);
end $$;

-- The ids under which the queues store these jobs, or will store them.
-- in:    arrays of one length; are_true: false where the client chose the id, which then stays as it is
-- out:   one id each, in order
-- locks: none
-- index: as of asman.row_id
create or replace function asman.row_ids(qids uuid[], job_ids text[], are_true bool[]) returns text[]
language plpgsql stable set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
begin
  -- Without any alias every job has one true id.
  if not exists (select from asman.alias) then return job_ids; end if;
  return (
    select array_agg(case when a.job_id is null then u.job_id else coalesce(asman.row_id(u.qid, a.job_id), a.job_id) end order by u.ord)
    from unnest(qids, job_ids, are_true) with ordinality u (qid, job_id, is_true, ord)
    left join lateral (
      (select b.job_id from asman.alias b where b.old_id = u.job_id limit 1)
      union all (select c.job_id from asman.alias c where c.job_id = u.job_id limit 1) limit 1) a on u.is_true);
end $$;

-- Store both ids of each definition that has two.
-- in:    arrays of one length: hashes of the definitions, their ids by the old rule, their ids by today's rule
-- locks: the new rows, and rows that were last kept more than an hour ago
-- index: alias_pkey
create or replace function asman.keep_aliases(hashes bytea[], old_ids text[], job_ids text[]) returns void
language sql as $$
  insert into asman.alias (definition_hash, old_id, job_id)
  select distinct on (u.hash) u.hash, u.old_id, u.job_id from unnest(hashes, old_ids, job_ids) u (hash, old_id, job_id)
  where u.old_id <> u.job_id order by u.hash
  on conflict (definition_hash) do update set kept_at = now() where alias.kept_at < now() - interval '1 hour'
$$;
