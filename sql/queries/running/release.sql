-- Put claims back into the queue. A release without a code puts the job back at its old position without a penalty. A release
-- with a code puts it behind all waiting jobs, after a pause that doubles with each such release. After too many of them the job
-- ends.
-- in:    $1 qid uuid[], $2 job_id text[], $3 epoch int8[], $4 code text[], $5 fault text[], $6 message text[],
--        $7 n_released_max int2: the release with a code that ends a job
-- out:   qid uuid, job_id text, epoch int8: the claims put back or ended
-- locks: the released running rows
-- index: running_pkey
with back as (
  select * from unnest($1::uuid[], $2::text[], $3::int8[], $4::text[], $5::text[], $6::text[])
    as b (qid, job_id, epoch, code, fault, message)),
gone as (
  delete from asman.running r using back b
  where (r.job_id, r.qid) between (b.job_id, b.qid) and (b.job_id, b.qid) and r.epoch = b.epoch
  returning r.*, b.code, b.fault, b.message, b.code is not null and r.n_released + 1 >= $7::int2 as is_final,
    format('given up after it was given back %s times; the last cause: %s', r.n_released + 1, coalesce(b.message, b.code)) as farewell),
again as (
  insert into asman.queued (qid, class, priority, seq, job_id, definition_hash, is_true_id, is_debug, is_item, namespaces, cpus, gpus,
    memory_bytes, required_seconds, max_seconds, tags, attempt, n_lost, n_released, not_before, queued_at)
  select qid, class, priority, case when code is null then seq else nextval('asman.queued_seq') end, job_id, definition_hash, is_true_id,
    is_debug, is_item, namespaces, cpus, gpus, memory_bytes, required_seconds, max_seconds, tags, attempt, n_lost,
    n_released + (code is not null)::int4,
    case when code is not null then now() + make_interval(secs => 3 * power(2, least(n_released, 10)) * (0.75 + random() / 2)) end, queued_at
  from gone where not is_final on conflict do nothing),
ended as (
  insert into asman.finished (qid, job_id, epoch, attempt, reason, code, fault, message, worker_id, definition_hash, is_true_id, is_debug,
    is_item, class, namespaces, cpus, gpus, memory_bytes, required_seconds, max_seconds, tags, queued_at, claimed_at, result)
  select qid, job_id, epoch, attempt, 'Error', 'released-too-often', 'machine', farewell, worker_id, definition_hash, is_true_id, is_debug,
    is_item, class, namespaces, cpus, gpus, memory_bytes, required_seconds, max_seconds, tags, queued_at, claimed_at,
    json_build_object('isTimedOut', false, 'outputs', json_build_object(), 'error', json_build_object('statusCode', null,
      'json', json_build_object('message', farewell, 'code', code, 'fault', fault)))
  from gone where is_final),
noted as (
  insert into asman.event (qid, job_id, kind, reason, code, fault, worker_id, attempt, epoch, message)
  select qid, job_id, case when is_final then 'finished' else 'released' end, case when is_final then 'Error' end,
    case when is_final then 'released-too-often' else code end, case when is_final then 'machine' else fault end, worker_id, attempt, epoch,
    case when is_final then farewell else message end
  from gone)
select qid, job_id, epoch from gone;
