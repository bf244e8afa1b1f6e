-- V006: which text of procedures and views the database has, and epochs that no restore can issue twice.
--
-- expand:   new tables, and a trigger on running that fires once a statement. A process of the release before goes on claiming
-- locks:    share row exclusive on running for a moment, to make the trigger; nothing is scanned or rewritten
-- undo:     drop trigger running_epochs on asman.running; drop function asman.guard_epochs();
--           drop table asman.schema_text, asman.incarnation

-- A program is ready when its own text is the current one, or when the current one was first applied after its own: then a newer
-- release has migrated, which works with the one before it.
create table asman.schema_text (
  hash          text        not null,
  first_applied timestamptz not null default clock_timestamp(),
  last_applied  timestamptz not null default clock_timestamp(),
  constraint schema_text_pkey primary key (hash)
);
comment on table asman.schema_text is 'Hashes of procedures, views and roles that `asman db migrate` has applied; the newest last_applied is in force.';

-- Where the epochs so far were issued. A dump that is restored, a server that was promoted and a data directory that was set back
-- in time have another place: their sequence may stand before epochs that workers hold, so it is moved ahead of all of them.
create table asman.incarnation (
  only_row bool        not null default true,
  place    text        not null,
  since    timestamptz not null default clock_timestamp(),
  constraint incarnation_pkey primary key (only_row),
  constraint incarnation_is_one_row check (only_row)
);

-- The body is in sql/procedures/incarnation.sql.
create function asman.guard_epochs() returns trigger language plpgsql as $$ begin return null; end $$;
create trigger running_epochs before insert on asman.running for each statement execute function asman.guard_epochs();
