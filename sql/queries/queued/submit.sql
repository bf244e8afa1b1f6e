-- Queue a batch of jobs. A job that is sent several times is queued once. The work is in asman.submit, and the limits of the
-- queues' policies are applied in asman.submit_within_limits.
-- in:    $1 qids uuid[], $2 job_ids text[], $3 hashes bytea[], $4 bodies text[], $5 namespaces text[], $6 true_ids bool[],
--        $7 debugs bool[], $8 classes int8[], $9 priorities int2[], $10 cpus float8[], $11 gpus int4[], $12 memory_bytes int8[],
--        $13 required_seconds int4[], $14 max_seconds int4[], $15 tags text[], $16 queues text[], $17 callbacks text[] (JSON or
--        null), $18 agains bool[], $19 sent_ids text[]
-- out:   ord int8, outcome text, job_id text: the row's; one row a submission, in order
-- locks: the policies' rows of queues with a limit, an advisory lock a job, until commit
-- index: alias_old, alias_job, policy_pkey, job_name, queued_job_key, running_pkey, finished_pkey, webhook_job
select s.ord, s.outcome, s.job_id
from (
  select array_agg(u.one order by u.ord) as batch
  from (
    select row(u.qid, u.job_id, u.hash, u.body, u.namespace, u.is_true_id, u.is_debug, u.class, u.priority, u.cpus, u.gpus, u.memory_bytes,
      u.required_seconds, u.max_seconds, u.tags, u.queue, u.callbacks, u.is_again, u.sent_id)::asman.submission as one, u.ord
    from unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::text[], $6::bool[], $7::bool[], $8::int8[], $9::int2[], $10::float8[],
      $11::int4[], $12::int8[], $13::int4[], $14::int4[], $15::text[], $16::text[], $17::text[], $18::bool[], $19::text[])
      with ordinality as u (qid, job_id, hash, body, namespace, is_true_id, is_debug, class, priority, cpus, gpus, memory_bytes,
        required_seconds, max_seconds, tags, queue, callbacks, is_again, sent_id, ord)) u) b
cross join lateral asman.submit_within_limits(b.batch) s
order by s.ord;
