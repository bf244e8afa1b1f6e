-- Create the partitions of the coming time and drop those that expired, for one parent table.
-- in:    parent such as 'finished'; step '1 week' or '1 day'; n_ahead partitions to come; keep: age at which one is dropped
-- locks: attaching takes share update exclusive on the parent; dropping takes access exclusive for a moment, given up after
--        two seconds and tried again at the next call
-- Rows that found no partition are in the default one; they are moved when theirs is made.
create or replace function asman.roll_partitions(parent text, step interval, n_ahead int, keep interval) returns void
language plpgsql set lock_timeout = '2s' as $$
declare
  unit constant text := case when step >= interval '7 days' then 'week' else 'day' end;
  key constant text := case parent when 'finished' then 'finished_at' when 'log_chunk' then 'claimed_at' else 'at' end;
  lower_bound timestamptz;
  upper_bound timestamptz;
  child text;
begin
  if to_regclass(format('asman.%I', parent || '_default')) is null then
    execute format('create table asman.%I partition of asman.%I default', parent || '_default', parent);
  end if;
  for i in 0 .. n_ahead loop
    lower_bound := (date_trunc(unit, now() at time zone 'UTC') + i * step) at time zone 'UTC';
    upper_bound := lower_bound + step;
    child := parent || '_' || to_char(lower_bound at time zone 'UTC', 'YYYYMMDD');
    continue when to_regclass(format('asman.%I', child)) is not null;
    execute format('create table asman.%I (like asman.%I including defaults including constraints)', child, parent);
    execute format('with moved as (delete from asman.%I where %I >= %L and %I < %L returning *) insert into asman.%I select * from moved',
      parent || '_default', key, lower_bound, key, upper_bound, child);
    execute format('alter table asman.%I attach partition asman.%I for values from (%L) to (%L)',
      parent, child, lower_bound, upper_bound);
    execute format('alter table asman.%I set (autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.1)', child);
  end loop;
  for child in
    select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = format('asman.%I', parent)::regclass and c.relname ~ ('^' || parent || '_\d{8}$') order by 1
  loop
    lower_bound := to_date(right(child, 8), 'YYYYMMDD')::timestamp at time zone 'UTC';
    upper_bound := lower_bound + step;
    continue when upper_bound > now() - keep;
    -- A job may run for longer than its logs are kept: its day waits for it.
    continue when parent = 'log_chunk'
      and exists (select from asman.running r where r.claimed_at >= lower_bound and r.claimed_at < upper_bound);
    begin
      execute format('drop table asman.%I', child);
    exception when lock_not_available then
      raise notice 'partition % is in use; it is dropped at the next call', child;
    end;
  end loop;
end $$;
