-- Every transition of every job, one row each.
create view report.event as
select e.qid, j.job_id, e.at, e.kind, e.reason, e.worker_id, e.namespace, e.attempt, k.epoch, e.code, e.fault, e.message, e.xid,
  e.seq * 1024 + k.n - 1 as number
from asman.event e
cross join lateral unnest(e.job_keys, e.epochs) with ordinality k (job_key, epoch, n)
join asman.job j on j.key = k.job_key;
comment on view report.event is
  'Every transition of every job: queued, joined, left, claimed, released, requeued, finished, deleted, expired, removed. Order: xid, number.';
