-- Run the maintenance.
-- in:    nothing
-- out:   nothing
-- locks: see asman.maintain
-- index: none
call asman.maintain();
