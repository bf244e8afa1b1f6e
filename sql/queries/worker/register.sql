-- Store a worker's description and its sign of life. Its present capacity may be smaller than the largest that it has reported. The
-- classes that it can run follow from the largest.
-- in:    $1 qid uuid, $2 worker_id text, $3 version text, $4 executor text, $5 cpus float8, $6 gpus int4, $7 memory_bytes int8,
--        $8 max_seconds int4, $9 tags text[], $10 labels text[], $11 most_cpus float8, $12 most_gpus int4, $13 most_memory int8
-- out:   is_changed bool: one row; whether clients should get the list of workers again,
--        is_counted bool: false when asman.count_worker is to be called before its claim
-- locks: the worker's row
-- index: worker_pkey
with before as (
  select w.* from asman.worker w where w.qid = $1 and w.worker_id = $2)
insert into asman.worker as w (qid, worker_id, version, executor, cpus, gpus, memory_bytes, max_seconds, tags, labels, most_cpus,
  most_gpus, most_memory, most_seconds)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $8)
on conflict (qid, worker_id) do update set version = excluded.version, executor = excluded.executor, cpus = excluded.cpus,
  gpus = excluded.gpus, memory_bytes = excluded.memory_bytes, max_seconds = excluded.max_seconds, tags = excluded.tags, last_seen = now(),
  labels = excluded.labels, most_cpus = greatest(w.most_cpus, excluded.most_cpus), most_gpus = greatest(w.most_gpus, excluded.most_gpus),
  most_memory = greatest(w.most_memory, excluded.most_memory), most_seconds = greatest(w.most_seconds, excluded.most_seconds),
  is_counted = w.is_counted and w.labels = excluded.labels and w.most_cpus >= excluded.most_cpus and w.most_gpus >= excluded.most_gpus
    and w.most_memory >= excluded.most_memory and w.most_seconds >= excluded.most_seconds
returning coalesce((select (b.version, b.cpus, b.gpus, b.max_seconds) is distinct from (w.version, w.cpus, w.gpus, w.max_seconds)
  or b.last_seen < now() - interval '30 seconds' from before b), true) as is_changed, w.is_counted;
