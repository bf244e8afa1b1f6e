-- Take away the classes of a queue without a waiting job, and find out which of the others somebody present can run. The work is in
-- asman.tidy_classes.
-- in:    $1 qid uuid, $2 n_max int4, $3 only_runnable bool: false to look at those too that nobody can run, and at items
-- out:   n_seen int4: one row; 0 when there is nothing to look at or somebody else is at it
-- locks: the queue's two advisory locks, each only if it is free
-- index: waiting_class_offered, waiting_class_place, waiting_class_pkey, queued_pkey
select asman.tidy_classes($1, $2, $3) as n_seen;
