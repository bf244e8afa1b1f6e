-- Store the logins of definitions, which are stored without them. This happens before the definitions are stored: no job may be
-- claimed without its login.
-- in:    $1 hashes bytea[], $2 logins text[]
-- out:   hash bytea: those that are new, or were not used for an hour
-- locks: the rows, for this statement
-- index: login_pkey
insert into asman.login (hash, login)
select distinct on (l.hash) l.hash, l.login from unnest($1::bytea[], $2::text[]) as l (hash, login) order by l.hash
on conflict (hash) do update set used_at = now() where login.used_at < now() - interval '1 hour'
returning hash;
