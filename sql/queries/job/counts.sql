-- How much a queue holds: for its metrics and for autoscalers.
-- in:    $1 qid uuid
-- out:   n_queued int8, n_running int8, cpus float8, gpus int8: what queued and running jobs need together
-- locks: none
-- index: queued_pkey, running_worker
select q.n as n_queued, r.n as n_running, q.cpus + r.cpus as cpus, q.gpus + r.gpus as gpus
from (select count(*) as n, coalesce(sum(cpus), 0) as cpus, coalesce(sum(gpus), 0)::int8 as gpus from asman.queued where qid = $1) q
cross join (select count(*) as n, coalesce(sum(cpus), 0) as cpus, coalesce(sum(gpus), 0)::int8 as gpus from asman.running where qid = $1) r;
