-- The jobs of these queues that changed since a snapshot: the changes that the snapshot did not see. Each change comes once, even
-- while another transaction stays open for long. A read is bounded, and the next one continues behind its last row.
-- in:    $1 qid uuid[], $2 snapshot text[]: what each queue's watcher has seen, $3 xid text[], $4 seq int8[]: the position after
--        which to continue, '0' and 0 at first, $5 n_max int8: most rows a queue
-- out:   qid uuid, job_id text, xid text, seq int8, kind text, at_ms int8, reason text, worker_id text,
--        snapshot text: what the watcher has seen after this read
-- locks: none
-- index: event_queue: from the snapshot's end on, and once for each transaction that was under way in it; job_pkey
with w as materialized (
  select u.qid, u.snapshot, u.xid::xid8 as xid, u.seq
  from unnest($1::uuid[], $2::text[]::pg_snapshot[], $3::text[], $4::int8[]) as u (qid, snapshot, xid, seq))
select e.qid, j.job_id, e.xid::text as xid, e.seq, e.kind, (extract(epoch from e.at) * 1000)::int8 as at_ms, e.reason, e.worker_id,
  pg_current_snapshot()::text as snapshot
from w cross join lateral (
  select n.qid, n.xid, n.seq * 1024 + k.n - 1 as seq, n.kind, n.at, n.reason, n.worker_id, k.job_key from (
    (select v.qid, v.job_keys, v.xid, v.seq, v.kind, v.at, v.reason, v.worker_id from asman.event v
     where v.qid = w.qid and v.xid >= asman.event_xid(pg_snapshot_xmax(w.snapshot)) and (v.xid, v.seq) >= (w.xid, w.seq / 1024)
     order by v.xid, v.seq limit $5::int8 + 1)
    union all
    (select l.* from pg_snapshot_xip(w.snapshot) x (xid) cross join lateral (
       select v.qid, v.job_keys, v.xid, v.seq, v.kind, v.at, v.reason, v.worker_id from asman.event v
       where v.qid = w.qid and v.xid = asman.event_xid(x.xid) and (v.xid, v.seq) >= (w.xid, w.seq / 1024)
       order by v.xid, v.seq limit $5::int8 + 1) l
     order by l.xid, l.seq limit $5::int8 + 1)) n
  cross join lateral unnest(n.job_keys) with ordinality k (job_key, n)
  where (n.xid, n.seq * 1024 + k.n - 1) > (w.xid, w.seq)
  order by n.xid, n.seq, k.n limit $5) e
cross join lateral (select b.job_id from asman.job b where b.key = e.job_key limit 1) j;
