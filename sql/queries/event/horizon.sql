-- The greatest xid below which every event is settled: where a new watcher starts.
-- in:    nothing
-- out:   xid text
-- locks: none
-- index: none
select (pg_snapshot_xmin(pg_current_snapshot())::text::int8 - 1)::text as xid;
