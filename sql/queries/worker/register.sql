-- Note what a worker is and that it lives.
-- in:    $1 qid uuid, $2 worker_id text, $3 version text, $4 executor text, $5 cpus float8, $6 gpus int4, $7 memory_bytes int8,
--        $8 max_seconds int4, $9 tags text[]
-- out:   is_changed bool: one row; whether clients should be shown the workers anew
-- locks: the worker's row
-- index: worker_pkey
with before as (
  select w.* from asman.worker w where w.qid = $1 and w.worker_id = $2)
insert into asman.worker as w (qid, worker_id, version, executor, cpus, gpus, memory_bytes, max_seconds, tags)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
on conflict (qid, worker_id) do update set version = excluded.version, executor = excluded.executor, cpus = excluded.cpus,
  gpus = excluded.gpus, memory_bytes = excluded.memory_bytes, max_seconds = excluded.max_seconds, tags = excluded.tags, last_seen = now()
returning coalesce((select (b.version, b.cpus, b.gpus, b.max_seconds) is distinct from (w.version, w.cpus, w.gpus, w.max_seconds)
  or b.last_seen < now() - interval '30 seconds' from before b), true) as is_changed;
