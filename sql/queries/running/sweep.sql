-- End the claims of silent workers. The work is in asman.sweep; only one sweep runs at a time in a database.
-- in:    $1 lease_seconds float8, $2 n_lost_max int2
-- out:   qid uuid, job_id text, is_final bool: the jobs of lost claims
-- locks: a transaction-level advisory lock (without it nothing happens), the swept running rows
-- index: worker_pkey
select s.qid, s.job_id, s.is_final
from (select pg_try_advisory_xact_lock(hashtextextended('asman.sweep', 0)) as is_mine) l
cross join lateral (select * from asman.sweep(make_interval(secs => $1), $2) where l.is_mine) s
where l.is_mine;
