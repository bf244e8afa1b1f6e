-- Delete a worker that says that it ends, unless it still has a claim.
-- in:    $1 qid uuid, $2 worker_id text
-- out:   worker_id text: no row when it has a claim or is unknown
-- locks: the worker's row
-- index: worker_pkey, running_worker
delete from asman.worker w where w.qid = $1 and w.worker_id = $2
  and not exists (select from asman.running r where r.qid = w.qid and r.worker_id = w.worker_id)
returning w.worker_id;
