-- End a batch of claims with what their workers report. A claim whose epoch is no longer the live one stays as it is.
-- in:    $1 qid uuid[], $2 job_id text[], $3 epoch int8[], $4 reason text[], $5 message text[], $6 status_code int8[],
--        $7 duration_ms float8[], $8 result text[], $9 code text[], $10 fault text[]
-- out:   qid uuid, job_id text, epoch int8: the claims that ended now
-- locks: the ended running rows
-- index: job_name and running_pkey, once for each claim regardless of the statistics: see docs/sql-internals.md
with done as materialized (
  select d.*, j.key, j.queued_at, j.class
  from unnest($1::uuid[], $2::text[], $3::int8[], $4::text[], $5::text[], $6::int8[], $7::float8[], $8::text[],
      $9::text[], $10::text[])
    as d (qid, job_id, epoch, reason, message, status_code, duration_ms, result, code, fault)
  cross join lateral (select n.key, n.queued_at, n.class from asman.job_named(d.qid, d.job_id) n limit 1) j),
gone as (
  delete from asman.running r using done d where r.job_key = any (array[d.key]) and r.epoch = d.epoch
  returning r.*, d.job_id, d.queued_at, d.class, d.reason, d.message, d.status_code, d.duration_ms, d.result, d.code, d.fault),
ended as (
  insert into asman.finished (job_key, epoch, queued_at, claimed_at, status_code, duration_ms, qid, attempt, is_item, reason, worker_id,
    code, fault, message, result)
  select job_key, epoch, queued_at, claimed_at, status_code, duration_ms, qid, attempt, class = 0, reason, worker_id, code, fault, message,
    result::json
  from gone),
noted as (
  insert into asman.event (qid, kind, reason, code, fault, worker_id, attempt, message, job_keys, epochs)
  select g.qid, 'finished', g.reason, g.code, g.fault, g.worker_id, g.attempt, g.message, array_agg(g.job_key), array_agg(g.epoch)
  from (select n.*, (row_number() over () - 1) / 100 as part from gone n) g
  group by g.qid, g.reason, g.code, g.fault, g.worker_id, g.attempt, g.message, g.part)
select qid, job_id, epoch from gone;
