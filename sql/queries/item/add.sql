-- Add items to a queue. Ids that the queue has in any stage are skipped. The work is in asman.add_items.
-- in:    $1 qid uuid, $2 job_ids text[], $3 hashes bytea[], $4 bodies text[], $5 true_ids bool[], $6 classes int8[], $7 cpus float8[],
--        $8 gpus int4[], $9 memory_bytes int8[], $10 required_seconds int4[], $11 max_seconds int4[], $12 tags text[] (joined by
--        '/'), $13 stages int4[], $14 message text
-- out:   ord int8: which were added, counted from 1
-- locks: the queue's advisory lock, until commit
-- index: job_name, queued_job_key, running_pkey, finished_pkey
select a.ord
from (
  select array_agg(u.one order by u.ord) as batch
  from (
    select row($1::uuid, u.job_id, u.hash, u.body, '_', u.is_true_id, false, u.class, 0, u.cpus, u.gpus, u.memory_bytes, u.required_seconds,
      u.max_seconds, u.tags, null, null, null, null)::asman.submission as one, u.ord
    from unnest($2::text[], $3::bytea[], $4::text[], $5::bool[], $6::int8[], $7::float8[], $8::int4[], $9::int8[], $10::int4[],
      $11::int4[], $12::text[]) with ordinality as u (job_id, hash, body, is_true_id, class, cpus, gpus, memory_bytes, required_seconds,
        max_seconds, tags, ord)) u) b
cross join lateral asman.add_items($1, b.batch, $13, $14) a
order by a.ord;
