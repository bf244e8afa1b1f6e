-- Whether the schema is there and as new as this program needs.
-- in:    nothing
-- out:   version int4: the newest migration applied
-- locks: none
-- index: none
select max(m.version) as version from asman.migration m;
