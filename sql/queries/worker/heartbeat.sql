-- Store a worker's sign of life.
-- in:    $1 qid uuid, $2 worker_id text
-- out:   worker_id text: no row when the worker is unknown
-- locks: the worker's row
-- index: worker_pkey
update asman.worker set last_seen = now() where qid = $1 and worker_id = $2 returning worker_id;
