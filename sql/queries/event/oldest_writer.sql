-- The oldest transaction that writes anywhere in the cluster. The order of later events is not final until this transaction ends.
-- in:    nothing
-- out:   pid int4: 0 for a prepared transaction, age_seconds float8: null when this role may not read it; no row when no
--        transaction writes
-- locks: none
-- index: none
select h.pid, extract(epoch from now() - h.since)::float8 as age_seconds
from (
  select a.pid, a.xact_start as since, age(a.backend_xid) as age from pg_stat_activity a
  where a.backend_xid is not null and a.pid <> pg_backend_pid()
  union all
  select 0, p.prepared, age(p.transaction) from pg_prepared_xacts p) h
order by h.age desc limit 1;
