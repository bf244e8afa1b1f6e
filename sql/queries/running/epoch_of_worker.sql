-- The claim by which this worker runs one job.
-- in:    $1 qid uuid, $2 job_id text, $3 worker_id text
-- out:   epoch int8: no row when it has none
-- locks: none
-- index: job_name, running_pkey
select r.epoch from asman.running_named($1, $2) r where r.worker_id is not distinct from $3;
