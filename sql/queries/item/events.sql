-- The transitions of a queue after a position in their order, oldest first, as far as the order is final: no later transition
-- will come before them.
-- in:    $1 qid uuid, $2 xid text, $3 seq int8, $4 n_max int8
-- out:   xid text, seq int8, at_ms int8, job_id text, kind text, reason text, worker_id text, attempt int2, epoch int8, message text
-- locks: none
-- index: event_pkey
select e.xid::text as xid, e.seq, (extract(epoch from e.at) * 1000)::int8 as at_ms, e.job_id, e.kind, e.reason, e.worker_id, e.attempt,
  e.epoch, e.message
from asman.event e
where e.qid = $1 and (e.xid, e.seq) > ($2::text::xid8, $3) and e.xid < asman.event_xid(pg_snapshot_xmin(pg_current_snapshot()))
order by e.xid, e.seq limit $4;
