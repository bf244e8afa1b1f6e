-- Every transition of one job, oldest first.
-- in:    $1 qid uuid, $2 job_id text, $3 n_max int8
-- out:   at_ms int8, kind text, reason text, worker_id text, namespace text, attempt int2, code text, fault text, message text
-- locks: none
-- index: event_job
select (extract(epoch from e.at) * 1000)::int8 as at_ms, e.kind, e.reason, e.worker_id, e.namespace, e.attempt, e.code, e.fault,
  e.message
from asman.event e where e.job_id = $2 and e.qid = $1 order by e.seq limit $3;
