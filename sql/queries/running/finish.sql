-- End a batch of claims with what their workers report. A claim whose epoch is no longer the live one stays as it is.
-- in:    $1 qid uuid[], $2 job_id text[], $3 epoch int8[], $4 reason text[], $5 message text[], $6 status_code int8[],
--        $7 duration_ms float8[], $8 result text[], $9 code text[], $10 fault text[]
-- out:   qid uuid, job_id text, epoch int8: the claims that ended now
-- locks: the ended running rows
-- index: running_pkey, once for each claim regardless of the statistics: see docs/sql-internals.md
with done as (
  select * from unnest($1::uuid[], $2::text[], $3::int8[], $4::text[], $5::text[], $6::int8[], $7::float8[], $8::text[],
      $9::text[], $10::text[])
    as d (qid, job_id, epoch, reason, message, status_code, duration_ms, result, code, fault)),
gone as (
  delete from asman.running r using done d where (r.job_id, r.qid) between (d.job_id, d.qid) and (d.job_id, d.qid) and r.epoch = d.epoch
  returning r.*, d.reason, d.message, d.status_code, d.duration_ms, d.result, d.code, d.fault),
ended as (
  insert into asman.finished (qid, job_id, epoch, attempt, reason, code, fault, message, worker_id, definition_hash, is_true_id, is_debug,
    is_item, class, namespaces, cpus, gpus, memory_bytes, required_seconds, max_seconds, tags, queued_at, claimed_at, status_code,
    duration_ms, result)
  select qid, job_id, epoch, attempt, reason, code, fault, message, worker_id, definition_hash, is_true_id, is_debug, is_item, class, namespaces,
    cpus, gpus, memory_bytes, required_seconds, max_seconds, tags, queued_at, claimed_at, status_code, duration_ms, result::json
  from gone),
noted as (
  insert into asman.event (qid, job_id, kind, reason, code, fault, worker_id, attempt, epoch, message)
  select qid, job_id, 'finished', reason, code, fault, worker_id, attempt, epoch, message from gone)
select qid, job_id, epoch from gone;
