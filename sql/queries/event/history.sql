-- Every transition of one job, oldest first.
-- in:    $1 qid uuid, $2 job_id text, $3 n_max int8
-- out:   at_ms int8, kind text, reason text, worker_id text, namespace text, attempt int2, code text, fault text, message text
-- locks: none
-- index: job_name, event_job, running_pkey, finished_pkey. Claims are read from the job's rows in running and finished
with j as materialized (select n.key, n.qid from asman.job_named($1, $2) n),
other as materialized (
  select e.at, 1 as rank, e.seq, e.kind, e.reason, e.worker_id, e.namespace, e.attempt, e.code, e.fault, e.message, e.claimed_at, e.past
  from j cross join lateral (
    select v.* from asman.event v where v.job_keys[1] = j.key and (v.kind not in ('claimed', 'finished', 'expired') or v.epochs is null) limit $3) e),
ended as materialized (
  select f.* from j cross join lateral (
    select v.* from asman.finished v where v.job_key = j.key order by v.finished_at desc limit $3) f
  -- A row with the reason `Deleted` records that a result was removed. It is not an end. The transaction that wrote it also wrote the
  -- event `deleted`.
  where f.reason <> 'Deleted' or not exists (
    select from other o where o.kind = 'deleted' and o.at between f.finished_at - interval '1 minute' and f.finished_at))
select (extract(epoch from h.at) * 1000)::int8 as at_ms, h.kind, h.reason, h.worker_id, h.namespace, h.attempt, h.code, h.fault, h.message
from (
  select o.at, o.rank, o.seq, o.kind, o.reason, o.worker_id, o.namespace, o.attempt, o.code, o.fault, o.message from other o
  union all
  select o.claimed_at, 2, o.seq, 'claimed', null, o.worker_id, null, o.attempt, null, null, null from other o where o.claimed_at is not null
  union all
  select p.at, case p.kind when 'claimed' then 2 else 3 end, o.seq, p.kind, p.reason, p.worker_id, p.namespace, p.attempt, p.code, p.fault,
    p.message
  from other o cross join lateral json_to_recordset(o.past) p (at timestamptz, kind text, reason text, worker_id text, namespace text,
    attempt int2, code text, fault text, message text)
  where o.past is not null
  union all
  select r.claimed_at, 2, 0, 'claimed', null, r.worker_id, null, r.attempt, null, null, null
  from j cross join lateral (select v.* from asman.running v where v.job_key = j.key limit 1) r
  union all
  select f.claimed_at, 2, 0, 'claimed', null, f.worker_id, null, f.attempt, null, null, null from ended f where f.claimed_at is not null
  union all
  select f.finished_at, 3, 0, case f.code when 'expired' then 'expired' else 'finished' end, f.reason, f.worker_id, f.namespace, f.attempt,
    f.code, f.fault, f.message
  from ended f) h
order by h.at, h.rank, h.seq limit $3;
