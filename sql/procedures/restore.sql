-- Transaction numbers in the order of events. In the cluster where a database was created they are PostgreSQL's own. A database
-- that was restored from a dump contains events with numbers that its new cluster has not reached yet: new events would be
-- ordered before them, and watchers would wait for those numbers. So a base is added to all numbers after a restore.

-- The base that is added to each transaction number. Only asman.notice_restore() replaces this function, never a migration.
do $$
begin
  if to_regprocedure('asman.xid_base()') is null then
    create function asman.xid_base() returns int8 language sql immutable parallel safe return 0::int8;
  end if;
end $$;

-- The number of a transaction in the order of events.
create or replace function asman.event_xid(xid xid8) returns xid8
language sql stable parallel safe as $$ select (xid::text::int8 + asman.xid_base())::text::xid8 $$;

-- Each run of the migrations calls this. If the database is in another cluster than before, correct the order of events.
-- in:    nothing
-- out:   whether a base was set
-- locks: access exclusive on event for a moment, if a base is set
-- index: none: reads all events once, and only in a cluster that is new to this database
create or replace function asman.notice_restore() returns bool
language plpgsql as $$
declare
  here constant int8 := (select c.system_identifier from pg_control_system() c);
  newest int8;
  next constant int8 := pg_snapshot_xmax(pg_current_snapshot())::text::int8;
begin
  if exists (select from asman.cluster c where c.system_identifier = here) then return false; end if;
  delete from asman.cluster;
  insert into asman.cluster (system_identifier) values (here);
  newest := (select max(e.xid::text::int8) from asman.event e);
  if newest is null or newest < next + asman.xid_base() then return false; end if;
  execute format('create or replace function asman.xid_base() returns int8 language sql immutable parallel safe return %s::int8',
    newest - next + 1);
  alter table asman.event alter column xid set default asman.event_xid(pg_current_xact_id());
  return true;
end $$;
