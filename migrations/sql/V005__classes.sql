-- V005: one row a class of waiting jobs, so that a claim costs what the classes cost that somebody present can run.
--
-- expand:   a table and columns with defaults. A process of the release before goes on; it does not see the labels of workers, and
--           is not offered jobs that ask for a secret, a platform, a build or a script
-- locks:    share row exclusive on queued and access exclusive on worker, for as long as it takes to read queued once (a million
--           rows: about three seconds): submissions wait meanwhile
-- undo:     drop trigger queued_note_classes on asman.queued; drop table asman.waiting_class; alter table asman.worker drop column …
--
-- Before, a claim hopped from class to class in the order of their hashes and looked at a hundred of them: that many jobs which
-- nobody can run kept everybody from all others.
--
-- A row says: from this place on (priority, seq), jobs of this class may wait. It is a lower bound: claims leave it alone, and
-- asman.tidy_classes moves it up or takes it away. A class may have several rows, of which the first counts: nobody who queues the
-- first job of a class ever waits for another who does the same.
create table asman.waiting_class (
  qid              uuid        not null,
  class            int8        not null,
  priority         int2        not null,
  seq              int8        not null,
  cpus             float8      not null,
  gpus             int4        not null,
  memory_bytes     int8        not null,
  required_seconds int4        not null,
  is_item          bool        not null,
  labels           text[]      not null,
  is_runnable      bool        not null default true,
  checked_at       timestamptz not null default '-infinity',
  -- The queue, while workers are offered the class. A column of its own, so that no other index can serve claims, whatever the
  -- statistics say: the others lead past the classes that nobody can run.
  offered_qid      uuid generated always as (case when is_runnable and not is_item then qid end) stored,
  constraint waiting_class_pkey primary key (class, qid, priority, seq)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off);
-- The key begins with the class, so that no other index can serve a look-up of one class, whatever the statistics say.
-- What claims of workers walk along, …
create index waiting_class_offered on asman.waiting_class (offered_qid, priority, seq) where offered_qid is not null;
-- … what claims of items and listings walk along, …
create index waiting_class_place on asman.waiting_class (qid, priority, seq);
-- … and what maintenance looks at next.
create index waiting_class_checked on asman.waiting_class (checked_at);
comment on column asman.waiting_class.labels is
  'What a worker must carry: `tag:…` for each tag, and `executor:…`, `secret:…`, `platform:…`, `builds`: see asman.labels_of.';
comment on column asman.waiting_class.is_runnable is
  'False when no worker present could run it even with nothing else to do. A new class counts as runnable until that is known.';

-- The greatest that it ever said it has since it came, so that what it has now needs no look at the classes; and its labels.
alter table asman.worker
  add column labels       text[] not null default '{}',
  add column most_cpus    float8 not null default 0,
  add column most_gpus    int4   not null default 0,
  add column most_memory  int8   not null default 0,
  add column most_seconds int4   not null default 0,
  add column is_counted   bool   not null default false;
comment on column asman.worker.is_counted is
  'Whether the classes that it can run are marked as runnable. A claim waits for that.';

update asman.worker w set most_cpus = w.cpus, most_gpus = w.gpus, most_seconds = w.max_seconds,
  most_memory = case w.executor when 'socket' then 9223372036854775807 else w.memory_bytes end,
  labels = array(select 'tag:' || t from unnest(w.tags) t) || case w.executor when 'process' then '{executor:process}'::text[]
    else '{executor:container,builds,platform:linux-amd64}' end;

-- Jobs that were queued before labels get theirs: behind an empty text, which no tag can be.
create temporary table relabelled on commit drop as
select t.qid, t.job_id, t.is_waiting, t.tags || ''::text || l.labels as tags, t.cpus, t.gpus, t.memory_bytes, t.required_seconds
from (
  select q.qid, q.job_id, true as is_waiting, q.definition_hash, q.tags, q.cpus, q.gpus, q.memory_bytes, q.required_seconds
  from asman.queued q where not q.is_item
  union all
  select r.qid, r.job_id, false, r.definition_hash, r.tags, r.cpus, r.gpus, r.memory_bytes, r.required_seconds
  from asman.running r where not r.is_item) t
join asman.definition d on d.hash = t.definition_hash
-- A text that jsonb cannot hold has a NUL in it; such a job is matched as before.
cross join lateral (select case when position('\u0000' in d.body) = 0 then d.body::jsonb end as j) b
cross join lateral (select array(
  select x.label from (
    select 'builds' as label where jsonb_typeof(b.j -> 'build') = 'object'
    union select 'executor:process' where btrim(b.j ->> 'image') = 'none' and coalesce(jsonb_typeof(b.j -> 'build'), 'null') = 'null'
    union select 'secret:' || s from jsonb_array_elements_text(
      case when jsonb_typeof(b.j -> 'secrets') = 'array' then b.j -> 'secrets' else '[]' end) s) x
  order by x.label collate "C") as labels) l
where (d.body like '%"secrets"%' or d.body like '%"build"%' or d.body like '%"none"%') and cardinality(l.labels) > 0;

create function pg_temp.class_of(cpus float8, gpus int4, memory_bytes int8, required_seconds int4, tags text[]) returns int8
language sql immutable as $$
select ('x' || encode(substring(sha256(convert_to(concat_ws('|', cpus::text::numeric::text, gpus, memory_bytes, required_seconds,
  array_to_string(tags, '/')), 'UTF8')) for 8), 'hex'))::bit(64)::int8
$$;

update asman.queued q set tags = l.tags, class = pg_temp.class_of(l.cpus, l.gpus, l.memory_bytes, l.required_seconds, l.tags)
from relabelled l where l.is_waiting and q.job_id = l.job_id and q.qid = l.qid;
update asman.running r set tags = l.tags, class = pg_temp.class_of(l.cpus, l.gpus, l.memory_bytes, l.required_seconds, l.tags)
from relabelled l where not l.is_waiting and r.job_id = l.job_id and r.qid = l.qid;

-- The cluster that the database was last migrated in, to notice a restore in another: see asman.notice_restore.
create table asman.cluster (
  system_identifier int8 not null,
  constraint cluster_pkey primary key (system_identifier)
);

-- Replaced with its current text, of sql/procedures/classes.sql, at the end of each migration.
create function asman.note_classes() returns trigger language plpgsql as $$ begin return null; end $$;
create trigger queued_note_classes after insert on asman.queued referencing new table as fresh
  for each statement execute function asman.note_classes();

insert into asman.waiting_class (qid, class, priority, seq, cpus, gpus, memory_bytes, required_seconds, is_item, labels)
select distinct on (q.qid, q.class) q.qid, q.class, q.priority, q.seq, q.cpus, q.gpus, q.memory_bytes, q.required_seconds, q.is_item,
  array(select 'tag:' || t from unnest(q.tags[:coalesce(array_position(q.tags, '') - 1, cardinality(q.tags))]) t)
    || case when '' = any (q.tags) then q.tags[array_position(q.tags, '') + 1:] else '{}' end
    || case when 'executor:process' = any (q.tags[coalesce(array_position(q.tags, '') + 1, 33):]) then '{}'
       else '{executor:container}'::text[] end
from asman.queued q order by q.qid, q.class, q.priority, q.seq;
