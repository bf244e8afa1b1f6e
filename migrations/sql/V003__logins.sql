-- V003: the logins of build contexts, apart from the definitions that everybody may read.
--
-- expand:   a new table. A process of the release before stores definitions whole, which are claimed whole; of definitions that
--           a newer process stored it claims the text without the login, so upgrade all before private contexts are sent
-- locks:    none that anyone could wait for
-- undo:     drop table asman.login
--
-- Definitions that were stored before keep their logins until they expire; the API shows them without.
create table asman.login (
  hash    bytea       not null,
  login   text        not null,
  used_at timestamptz not null default now(),
  constraint login_pkey primary key (hash),
  constraint login_hash_is_sha256 check (octet_length(hash) = 32)
);
comment on table asman.login is
  'What stands before the @ in the URL of a definition''s build context: for the worker that has claimed the job. Grant it to nobody.';
comment on column asman.login.used_at is 'Last time somebody submitted it; maintain() deletes what has no definition any more.';
