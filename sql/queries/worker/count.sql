-- Mark the classes of waiting jobs that a worker can run. The work is in asman.count_worker; the worker's row is committed before.
-- in:    $1 qid uuid, $2 worker_id text
-- out:   is_crowded bool: one row; whether the queue has so many classes that they should be tidied up
-- locks: the queue's lock for marking classes, and the classes that are marked
-- index: worker_pkey, waiting_class_place
select asman.count_worker($1, $2) as is_crowded;
