-- Two roles without a login, for users who read the database from outside. This runs after every migration, because rebuilt views
-- lose their grants. If the migrating user may not create roles, an administrator creates them and the next migration grants the
-- rights. Nothing else depends on the roles.
--
--   asman_read  everything in schema report. It shows no token, no secret and no queue's name
--   asman_keda  report.demand() and report.depth() alone: two numbers of a queue whose name the caller knows
do $$
declare
  name text;
begin
  foreach name in array array['asman_read', 'asman_keda'] loop
    begin
      if not exists (select from pg_roles where rolname = name) then execute format('create role %I nologin', name); end if;
    exception
      -- Another database of the same server has just created it.
      when duplicate_object or unique_violation then null;
      when insufficient_privilege then
        raise warning 'role % was not created, because this user may not create roles; ask an administrator to create it and migrate again, or grant the reports by hand', name;
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
