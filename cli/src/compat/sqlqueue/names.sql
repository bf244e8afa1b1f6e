-- The queues in an existing table.
-- in:    nothing
-- out:   queue_name text, at most 100
-- locks: none
-- index: none: reads the table
select distinct queue_name::text as queue_name from sqlqueue order by 1 limit 100
