-- The claim by which this worker runs one job.
-- in:    $1 qid uuid, $2 job_id text, $3 worker_id text
-- out:   epoch int8: no row when it has none
-- locks: none
-- index: running_pkey
select r.epoch from asman.running r where (r.job_id, r.qid) between ($2, $1) and ($2, $1) and r.worker_id is not distinct from $3;
