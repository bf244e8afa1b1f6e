-- Delete the classes of a queue that have no waiting job, and find out which of the others a connected worker can run. The work
-- is in asman.tidy_classes.
-- in:    $1 qid uuid, $2 n_max int4, $3 only_runnable bool: false to check also the items and the classes that no worker can run
-- out:   n_seen int4: one row; 0 when there is nothing to check or another process is at work
-- locks: the queue's two advisory locks, each only if it is free
-- index: waiting_class_offered, waiting_class_place, waiting_class_pkey, queued_pkey
select asman.tidy_classes($1, $2, $3) as n_seen;
