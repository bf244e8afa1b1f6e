-- Two roles without a login, to be granted to those who look at a database from outside. Run after every migration, since
-- rebuilt views have no grants. Where the migrating user may not create roles, an administrator creates them and the next
-- migration grants; nothing else depends on them.
--
--   asman_read  everything in schema report. Nothing there shows a token, a secret or a queue's name
--   asman_keda  report.demand() and report.depth() alone: two numbers of a queue whose name the caller knows
do $$
declare
  name text;
begin
  foreach name in array array['asman_read', 'asman_keda'] loop
    begin
      if not exists (select from pg_roles where rolname = name) then execute format('create role %I nologin', name); end if;
    exception
      -- Made by another database of the same server in this moment.
      when duplicate_object or unique_violation then null;
      when insufficient_privilege then
        raise warning 'role % was not created, because this user may not create roles; without it reports need other grants', name;
    end;
  end loop;
  revoke execute on function report.demand(text), report.depth(text) from public;
  if exists (select from pg_roles where rolname = 'asman_read') then
    grant usage on schema report to asman_read;
    grant select on all tables in schema report to asman_read;
    grant execute on all functions in schema report to asman_read;
  end if;
  if exists (select from pg_roles where rolname = 'asman_keda') then
    grant usage on schema report to asman_keda;
    grant execute on function report.demand(text), report.depth(text) to asman_keda;
  end if;
end $$;
