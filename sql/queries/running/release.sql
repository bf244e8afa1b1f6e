-- Put claims back into the queue. A release without a code puts the job back at its old position without a penalty. A release
-- with a code puts it behind all waiting jobs, after a pause that doubles with each such release. After too many of them the job
-- ends.
-- in:    $1 qid uuid[], $2 job_id text[], $3 epoch int8[], $4 code text[], $5 fault text[], $6 message text[],
--        $7 n_released_max int2: the release with a code that ends a job
-- out:   qid uuid, job_id text, epoch int8: the claims put back or ended
-- locks: the released running rows
-- index: job_name, running_pkey, job_pkey
with back as materialized (
  select b.*, j.key
  from unnest($1::uuid[], $2::text[], $3::int8[], $4::text[], $5::text[], $6::text[]) as b (qid, job_id, epoch, code, fault, message)
  cross join lateral (select n.key from asman.job_named(b.qid, b.job_id) n limit 1) j),
gone as (
  delete from asman.running r using back b where r.job_key = any (array[b.key]) and r.epoch = b.epoch
  returning r.*, b.job_id, b.code, b.fault, b.message, b.code is not null and r.n_released + 1 >= $7::int2 as is_final,
    format('given up after it was given back %s times; the last cause: %s', r.n_released + 1, coalesce(b.message, b.code)) as final_message),
whole as materialized (
  select g.*, j.class, j.priority, j.queued_at,
    case when g.code is not null and not g.is_final then nextval('asman.queued_seq') else j.seq end as seq
  from gone g cross join lateral (select k.* from asman.job k where k.key = g.job_key limit 1) j),
again as (
  insert into asman.queued (qid, class, priority, seq, job_key, attempt, n_lost, n_released, not_before)
  select qid, class, priority, seq, job_key, attempt, n_lost, n_released + (code is not null)::int4,
    case when code is not null then now() + asman.pause_after(3, n_released) end
  from whole where not is_final on conflict do nothing),
moved as (
  update asman.job j set seq = w.seq from whole w where j.key = any (array[w.job_key]) and w.code is not null and not w.is_final),
ended as (
  insert into asman.finished (job_key, epoch, queued_at, claimed_at, qid, attempt, is_item, reason, code, fault, message, worker_id, result)
  select job_key, epoch, queued_at, claimed_at, qid, attempt, class = 0, 'Error', 'released-too-often', 'machine', final_message, worker_id,
    json_build_object('isTimedOut', false, 'outputs', json_build_object(), 'error', json_build_object('statusCode', null,
      'json', json_build_object('message', final_message, 'code', code, 'fault', fault)))
  from whole where is_final),
noted as (
  insert into asman.event (qid, job_keys, epochs, kind, reason, code, fault, worker_id, attempt, claimed_at, message)
  select qid, array[job_key], array[epoch], case when is_final then 'finished' else 'released' end, case when is_final then 'Error' end,
    case when is_final then 'released-too-often' else code end, case when is_final then 'machine' else fault end, worker_id, attempt,
    claimed_at, case when is_final then final_message else message end
  from whole)
select qid, job_id, epoch from whole;
