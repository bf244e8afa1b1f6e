-- Whether the schema exists and is as new as this program needs, and whether the server accepts writes.
-- in:    nothing
-- out:   version int4: the newest migration applied; is_read_only bool
-- locks: none
-- index: none
select max(m.version) as version, current_setting('transaction_read_only') = 'on' as is_read_only from asman.migration m;
