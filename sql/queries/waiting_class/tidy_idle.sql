-- Tidy up the classes of the queues that were not checked for the longest time. The work is in asman.tidy_idle_classes.
-- in:    $1 n_max int4: rows from which the queues are taken
-- out:   n_queues int4: one row; 0 when there is nothing to do
-- locks: as of tidy.sql, for each of the queues
-- index: waiting_class_checked
select asman.tidy_idle_classes($1) as n_queues;
