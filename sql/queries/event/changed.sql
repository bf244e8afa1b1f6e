-- Which jobs of these queues changed after each queue's cursor. A row that is not settled may appear again in the next read.
-- in:    $1 qid uuid[], $2 xid text[], $3 seq int8[]: the greatest settled place seen of each queue, $4 n_max int8: most rows a queue
-- out:   qid uuid, job_id text, xid text, seq int8, is_settled bool
-- locks: none
-- index: event_pkey
select e.qid, e.job_id, e.xid::text as xid, e.seq, e.xid < pg_snapshot_xmin(pg_current_snapshot()) as is_settled
from unnest($1::uuid[], $2::text[], $3::int8[]) as w (qid, xid, seq)
cross join lateral (
  select v.qid, v.job_id, v.xid, v.seq from asman.event v where v.qid = w.qid and (v.xid, v.seq) > (w.xid::xid8, w.seq)
  order by v.xid, v.seq limit $4) e;
