-- V009: the ids that clients up to 0.54.80 compute, beside those of today.
--
-- why:      of a definition only what changes the work counts in its id since 0.54.81. Rows keep the id that they have, links and
--           clients of before go on with theirs, and what is sent under either runs once
-- expand:   a table, and a column of webhook that may be null. Two functions get a parameter with a default and a column, so that
--           a process of the release before goes on calling them
-- locks:    access exclusive on webhook for a moment. Before that each definition is read once, without a lock that anyone could
--           wait for: 50,000 with two ids among 100,000 took two and a half minutes on a machine with ten times too much to do
-- undo:     drop table asman.alias; alter table asman.webhook drop column sent_id
create table asman.alias (
  definition_hash bytea       not null,
  old_id          text        collate "C" not null,
  job_id          text        collate "C" not null,
  kept_at         timestamptz not null default now(),
  constraint alias_pkey primary key (definition_hash),
  constraint alias_is_another_id check (old_id <> job_id)
);
create index alias_old on asman.alias (old_id);
create index alias_job on asman.alias (job_id);
comment on table asman.alias is
  'Definitions with two true ids: by the rule of today (job_id), under which jobs are kept, and by that of clients up to 0.54.80. '
  'What has one id is not here.';
comment on column asman.alias.kept_at is 'About when it was last submitted; maintain() deletes what has no definition any more.';

-- What of a definition of before counts, as asman.job_id of this release has it; null where the definition counts whole, or is none.
create function pg_temp.counted(body text) returns jsonb language plpgsql as $$
declare
  d jsonb;
  counted jsonb;
begin
  d := body::jsonb;
  if jsonb_typeof(d) <> 'object' then return null; end if;
  select coalesce(jsonb_object_agg(m.key, m.value), '{}') into counted from (
    select e.key, case
      when jsonb_typeof(e.value) <> 'object' then nullif(case when e.key = 'secrets' then nullif(e.value, '[]') else e.value end, 'null')
      when e.key = 'build' then (select jsonb_object_agg(k.key, k.value) from jsonb_each(e.value) k where k.value <> 'null'
        and k.key in ('context', 'buildContext', 'filename', 'target', 'dockerfile', 'buildArgs', 'platform'))
      when e.key = 'requirements' then (select jsonb_object_agg(k.key, k.value) from jsonb_each(e.value) k where k.value <> 'null'
        and k.key in ('cpus', 'gpus', 'maxDuration', 'memory'))
      when e.key = 'env' then (select jsonb_object_agg(k.key, k.value) from jsonb_each(e.value) k
        where k.key !~ '^mp[-_]' and k.key not in ('channel', 'CHANNEL', 'readonly', 'edit', 'parent-metapage-id', 'fs-path'))
      -- The rule of before takes the hash of a ref away, as that of today does.
      when e.key in ('inputs', 'configFiles') then (select jsonb_object_agg(r.key, case when jsonb_typeof(r.value) <> 'object'
        then r.value else coalesce((select jsonb_object_agg(k.key, k.value) from jsonb_each(r.value) k
          where k.key in ('value', 'hash') or (k.key = 'type' and k.value <> 'null')), '{}') end) from jsonb_each(e.value) r)
      else e.value end as value
    from jsonb_each(d) e
    where e.key in ('v', 'image', 'command', 'entrypoint', 'workdir', 'shmSize', 'maxDuration', 'tags', 'build', 'requirements', 'env',
      'inputs', 'configFiles', 'secrets')) m
  where m.value is not null;
  return nullif(counted, d);
exception when others then
  -- The body of an item, which may be what jsonb cannot hold.
  return null;
end $$;

-- Files are counted by the rule of before, which has not changed for them.
create function pg_temp.ids(body text, out old_id text, out job_id text) language plpgsql as $$
declare
  counted constant jsonb := pg_temp.counted(body);
begin
  if counted is null then return; end if;
  old_id := asman.job_id(body::jsonb);
  job_id := asman.job_id(counted);
exception when others then
  old_id := null;
end $$;

insert into asman.alias (definition_hash, old_id, job_id)
select d.hash, i.old_id, i.job_id from asman.definition d cross join lateral pg_temp.ids(d.body) i
where d.body like '{%' and (d.body like '%"image"%' or d.body like '%"build"%') and i.old_id <> i.job_id;

-- Last, so that nobody waits while the definitions are read.
alter table asman.webhook add column sent_id text collate "C";
comment on column asman.webhook.sent_id is 'The id by which the submitter knows the job, where it is not job_id.';

-- Their procedures are made after the migrations.
drop function if exists asman.submit_within_limits(uuid[], text[], bytea[], text[], text[], bool[], bool[], int8[], int2[], float8[],
  int4[], int8[], int4[], int4[], text[], bool[], text[], text[], bool[]);
drop function if exists asman.submit(uuid[], text[], bytea[], text[], text[], bool[], bool[], int8[], int2[], float8[],
  int4[], int8[], int4[], int4[], text[], bool[], text[], text[], bool[]);
drop function if exists asman.without_empty(jsonb);
