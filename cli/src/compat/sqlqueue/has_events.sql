-- Whether an existing database has an event store.
-- in:    nothing
-- out:   has_events bool
-- locks: none
-- index: none
select to_regclass('sqleventstore') is not null as has_events
