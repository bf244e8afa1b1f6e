-- The transitions of a queue after a position in their order, oldest first, as far as the order is final: no later transition
-- will come before them.
-- in:    $1 qid uuid, $2 xid text, $3 seq int8, $4 n_max int8
-- out:   xid text, seq int8, at_ms int8, job_id text, kind text, reason text, worker_id text, attempt int2, epoch int8, message text
-- locks: none
-- index: event_queue, job_pkey
select e.xid::text as xid, e.number as seq, (extract(epoch from e.at) * 1000)::int8 as at_ms, j.job_id, e.kind, e.reason, e.worker_id,
  e.attempt, e.epoch, e.message
from (
  select n.*, k.job_key, k.epoch, n.seq * 1024 + k.n - 1 as number
  from (
    select v.* from asman.event v
    where v.qid = $1 and (v.xid, v.seq) >= ($2::text::xid8, $3::int8 / 1024)
      and v.xid < asman.event_xid(pg_snapshot_xmin(pg_current_snapshot()))
    order by v.xid, v.seq limit $4::int8 + 1) n
  cross join lateral unnest(n.job_keys, n.epochs) with ordinality k (job_key, epoch, n)
  where (n.xid, n.seq * 1024 + k.n - 1) > ($2::text::xid8, $3)) e
cross join lateral (select b.job_id from asman.job b where b.key = e.job_key limit 1) j
order by e.xid, e.number limit $4;
