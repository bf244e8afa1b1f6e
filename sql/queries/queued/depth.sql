-- Jobs that wait in a queue, counted up to a bound.
-- in:    $1 qid uuid, $2 n_max int8
-- out:   n_queued int8
-- locks: none
-- index: queued_pkey
select count(*) as n_queued from (select from asman.queued q where q.qid = $1 limit $2) c;
