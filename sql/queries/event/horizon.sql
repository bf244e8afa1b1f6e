-- The present snapshot, from which a new watcher starts.
-- in:    nothing
-- out:   snapshot text
-- locks: none
-- index: none
select pg_current_snapshot()::text as snapshot;
