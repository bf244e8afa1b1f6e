-- How many items of a queue are in each stage, at one moment.
-- in:    $1 qid uuid
-- out:   waiting int8, processing int8, success int8, fail int8
-- locks: none
-- index: queued_pkey, running_worker, finished_queue, finished_pkey, job_pkey
select (select count(*) from asman.queued q where q.qid = $1) as waiting,
  (select count(*) from asman.running r where r.qid = $1) as processing,
  e.success, e.fail
from (select count(*) filter (where i.stage = 2) as success, count(*) filter (where i.stage = 3) as fail
      from asman.items($1) i where i.stage >= 2) e;
