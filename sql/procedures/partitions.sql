-- The list of partitions to create and to drop, and the function that makes one of these changes in a transaction.

drop function if exists asman.roll_partitions(text, interval, int, interval);

-- The changes that are due for one parent table, in order.
-- in:    parent such as 'finished'; step '1 week' or '1 day'; n_ahead partitions to come; keep: age at which one is dropped
-- out:   action 'default', 'make' or 'drop'; the partition's name; its bounds
-- locks: none
create or replace function asman.due_partitions(parent text, step interval, n_ahead int, keep interval)
returns table (action text, child text, lower_bound timestamptz, upper_bound timestamptz)
language sql stable as $$
with parent_table as (
  select format('asman.%I', parent)::regclass as id,
    date_trunc(case when step >= interval '7 days' then 'week' else 'day' end, now() at time zone 'UTC') as start),
coming as (
  select parent || '_' || to_char(p.start + i * step, 'YYYYMMDD') as child,
    (p.start + i * step) at time zone 'UTC' as lower_bound, (p.start + (i + 1) * step) at time zone 'UTC' as upper_bound
  from parent_table p, generate_series(0, n_ahead) i),
there as (
  select c.relname::text as child, to_date(right(c.relname, 8), 'YYYYMMDD')::timestamp at time zone 'UTC' as lower_bound
  from parent_table p join pg_inherits h on h.inhparent = p.id join pg_class c on c.oid = h.inhrelid
  where c.relname ~ ('^' || parent || '_\d{8}$'))
select 'default', parent || '_default', null::timestamptz, null::timestamptz
where to_regclass(format('asman.%I', parent || '_default')) is null
union all
(select 'make', c.child, c.lower_bound, c.upper_bound from coming c
  where to_regclass(format('asman.%I', c.child)) is null order by c.lower_bound)
union all
(select 'drop', t.child, t.lower_bound, t.lower_bound + step from there t
  where t.lower_bound + step <= now() - keep
    -- A job may run for longer than logs are kept. The partition of its day stays until the job has ended.
    and not (parent = 'log_chunk'
      and exists (select from asman.running r where r.claimed_at >= t.lower_bound and r.claimed_at < t.lower_bound + step))
  order by t.lower_bound)
$$;

-- Makes one change, if it is still due. The caller has the lock of maintenance. Rows whose partition does not exist yet are in the
-- default partition. They move when their partition is created.
-- in:    parent; the other columns of asman.due_partitions
-- locks: access exclusive on the parent (drop) or its default partition (make), at the end; other statements that need the table
--        wait behind this one, so the caller sets a short lock_timeout
create or replace function asman.change_partition(
  parent text, action text, child text, lower_bound timestamptz, upper_bound timestamptz) returns void
language plpgsql as $$
declare
  key constant text := case parent when 'finished' then 'finished_at' when 'log_chunk' then 'claimed_at' else 'at' end;
begin
  -- Another call may have made this change since it was listed. The catalog is read by a statement of its own, because to_regclass may
  -- answer from a cache that does not have the other call's commit yet.
  if (action = 'drop') <> exists (
    select from pg_class c where c.relnamespace = 'asman'::regnamespace and c.relname = child) then return; end if;
  if action = 'default' then
    execute format('create table asman.%I partition of asman.%I default', child, parent);
    return;
  end if;
  if action = 'drop' then
    execute format('drop table asman.%I', child);
    return;
  end if;
  execute format('create table asman.%I (like asman.%I including defaults including constraints) with
    (autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.1)', child, parent);
  execute format('with moved as (delete from asman.%I where %I >= %L and %I < %L returning *) insert into asman.%I select * from moved',
    parent || '_default', key, lower_bound, key, upper_bound, child);
  execute format('alter table asman.%I attach partition asman.%I for values from (%L) to (%L)', parent, child, lower_bound, upper_bound);
end $$;

-- The process that has locked a table, or one of its partitions, for the longest time, as a sentence for the log.
create or replace function asman.holder_of(parent text) returns text language sql stable as $$
select coalesce((
  select format('process %s (%s, user %s) has used it for %s s', a.pid, coalesce(nullif(a.application_name, ''), 'without a name'),
    a.usename, round(extract(epoch from now() - a.xact_start)))
  from pg_locks l join pg_stat_activity a on a.pid = l.pid
  where l.locktype = 'relation' and l.granted and l.database = (select d.oid from pg_database d where d.datname = current_database())
    and l.pid <> pg_backend_pid()
    and l.relation in (select format('asman.%I', parent)::regclass union all
      select h.inhrelid from pg_inherits h where h.inhparent = format('asman.%I', parent)::regclass)
  order by a.xact_start limit 1), 'the process that used it is done')
$$;
