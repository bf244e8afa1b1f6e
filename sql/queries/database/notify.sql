-- Notify the other API processes which queues changed. The statement has its own transaction, which does not wait for the disk.
-- in:    $1 payloads text[]
-- out:   nothing of interest: one row a payload
-- locks: the database-wide notification lock, during the commit only
-- index: none
select pg_notify('asman', p)::text as notified
from (select set_config('synchronous_commit', 'off', true)) as relaxed, unnest($1::text[]) as u (p);
