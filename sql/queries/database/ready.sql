-- Whether the schema is there and as new as this program needs, and whether the server takes writes.
-- in:    nothing
-- out:   version int4: the newest migration applied; is_read_only bool
-- locks: none
-- index: none
select max(m.version) as version, current_setting('transaction_read_only') = 'on' as is_read_only from asman.migration m;
