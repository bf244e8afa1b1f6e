-- The latest end of a job, with its result.
-- in:    $1 qid uuid, $2 job_id text
-- out:   epoch int8, reason text, code text, fault text, message text, namespace text, worker_id text, finished_ms int8, result text: no row, or one
-- locks: none
-- index: job_name, finished_pkey, class_class
select f.epoch, f.reason, f.code, f.fault, f.message, f.namespace, f.worker_id, (extract(epoch from f.finished_at) * 1000)::int8 as finished_ms,
  f.result::text as result
from asman.finished_named($1, $2) f;
