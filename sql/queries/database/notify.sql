-- Tell the other API processes which queues changed. Sent in a transaction of its own, which does not wait for the disk.
-- in:    $1 payloads text[]
-- out:   nothing of interest: one row a payload
-- locks: the database-wide notification lock, for the commit alone
-- index: none
select pg_notify('asman', p)::text as notified
from (select set_config('synchronous_commit', 'off', true)) as relaxed, unnest($1::text[]) as u (p);
