-- Everything that time asks for.
-- in:    nothing
-- out:   nothing
-- locks: see asman.maintain
-- index: none
call asman.maintain();
