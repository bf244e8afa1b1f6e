-- The transaction that holds the events back: of those that write anywhere in the cluster the oldest. Events after its beginning are
-- not settled while it goes on.
-- in:    nothing
-- out:   pid int4: 0 for a prepared transaction, age_seconds float8: null where this role may not know; no row when nobody writes
-- locks: none
-- index: none
select h.pid, extract(epoch from now() - h.since)::float8 as age_seconds
from (
  select a.pid, a.xact_start as since, age(a.backend_xid) as age from pg_stat_activity a
  where a.backend_xid is not null and a.pid <> pg_backend_pid()
  union all
  select 0, p.prepared, age(p.transaction) from pg_prepared_xacts p) h
order by h.age desc limit 1;
