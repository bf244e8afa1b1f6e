-- Store transitions that another system recorded, each once.
-- in:    $1 qid uuid, $2 job_ids text[], $3 kinds text[], $4 reasons text[], $5 messages text[]: distinct for each transition
-- out:   job_id text: one row for each transition that is new
-- locks: none
-- index: job_name, event_job
with fresh as (
  select e.*, j.key
  from unnest($2::text[], $3::text[], $4::text[], $5::text[]) with ordinality as e (job_id, kind, reason, message, ord)
  cross join lateral asman.job_named($1, e.job_id) j
  where (select true from asman.event o where o.job_keys[1] = j.key and (o.kind not in ('claimed', 'finished', 'expired') or o.epochs is null)
    and o.message = e.message limit 1) is null),
noted as (
  insert into asman.event (qid, job_keys, kind, reason, message) select $1, array[f.key], f.kind, f.reason, f.message from fresh f order by f.ord)
select f.job_id from fresh f;
