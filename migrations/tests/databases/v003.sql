--
-- PostgreSQL database dump
--


-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: asman; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA asman;


--
-- Name: report; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA report;


--
-- Name: SCHEMA report; Type: COMMENT; Schema: -; Owner: -
--

COMMENT ON SCHEMA report IS 'a334f08456457bf27c7d65088f7d976978c11be7817a91f506fdb7b0742a10ab';


--
-- Name: add_items(uuid, text[], bytea[], text[], boolean[], boolean[], bigint[], double precision[], integer[], bigint[], integer[], integer[], text[], integer[], text); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.add_items(qid_in uuid, job_ids text[], hashes bytea[], bodies text[], is_items boolean[], true_ids boolean[], classes bigint[], cpus_in double precision[], gpus_in integer[], memory_in bigint[], required_in integer[], max_in integer[], tags_in text[], stages integer[], message_in text) RETURNS TABLE(ord bigint)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
declare
  fresh int8[];
begin
  perform pg_advisory_xact_lock(asman.queue_lock(qid_in));

  select array_agg(i.ord order by i.ord) into fresh from unnest(job_ids) with ordinality as i (job_id, ord)
  -- One look at the index for each id. As `not exists` they would be joins, and where the statistics are of a time when the table
  -- was empty, the planner walks all its rows for each id: 23 s for ten thousand of each.
  where (select true from asman.running r where (r.job_id, r.qid) between (i.job_id, qid_in) and (i.job_id, qid_in) limit 1) is null
    and (select true from asman.queued q where (q.job_id, q.qid) between (i.job_id, qid_in) and (i.job_id, qid_in) limit 1) is null
    and coalesce((select f.reason from asman.finished f where f.job_id = i.job_id and f.qid = qid_in
                  order by f.finished_at desc limit 1), 'Deleted') = 'Deleted';

  insert into asman.definition (hash, body)
  select distinct on (d.hash) d.hash, d.body
  from unnest(hashes, bodies) with ordinality as d (hash, body, ord) join unnest(fresh) as n (ord) using (ord) order by d.hash
  on conflict (hash) do update set used_at = now() where definition.used_at < now() - interval '1 day';

  return query
  with item as materialized (
    select s.*, coalesce(string_to_array(nullif(s.tag_text, ''), '/'), '{}') as tags, now() as at
    from unnest(job_ids, hashes, is_items, true_ids, classes, cpus_in, gpus_in, memory_in, required_in, max_in, tags_in, stages)
      with ordinality as s (job_id, hash, is_item, is_true_id, class, cpus, gpus, memory_bytes, required_seconds, max_seconds,
        tag_text, stage, ord)
    join unnest(fresh) as n (ord) using (ord)),
  numbered as materialized (
    select i.*, case when i.stage > 0 then nextval('asman.epoch_seq') end as epoch from item i order by i.ord),
  waiting as (
    insert into asman.queued (qid, class, job_id, definition_hash, is_true_id, is_item, namespaces, cpus, gpus, memory_bytes,
      required_seconds, max_seconds, tags)
    select qid_in, n.class, n.job_id, n.hash, n.is_true_id, n.is_item, '{_}', n.cpus, n.gpus, n.memory_bytes, n.required_seconds,
      n.max_seconds, n.tags from numbered n where n.stage = 0 order by n.ord),
  claimed as (
    insert into asman.running (qid, job_id, epoch, worker_id, attempt, deadline, by_deadline, class, priority, seq, definition_hash,
      is_true_id, is_debug, is_item, namespaces, cpus, gpus, memory_bytes, required_seconds, max_seconds, tags, n_lost, queued_at)
    select qid_in, n.job_id, n.epoch, 'task-queue', 1, 'infinity', true, n.class, 0, nextval('asman.queued_seq'), n.hash,
      n.is_true_id, false, n.is_item, '{_}', n.cpus, n.gpus, n.memory_bytes, n.required_seconds, n.max_seconds, n.tags, 0, n.at
    from numbered n where n.stage = 1),
  ended as (
    insert into asman.finished (qid, job_id, epoch, attempt, reason, message, definition_hash, is_true_id, is_debug, is_item, class,
      namespaces, cpus, gpus, memory_bytes, required_seconds, max_seconds, tags, queued_at, claimed_at)
    select qid_in, n.job_id, n.epoch, 1, case n.stage when 2 then 'Success' else 'Error' end, message_in, n.hash, n.is_true_id,
      false, n.is_item, n.class, '{_}', n.cpus, n.gpus, n.memory_bytes, n.required_seconds, n.max_seconds, n.tags, n.at, n.at
    from numbered n where n.stage > 1),
  noted as (
    insert into asman.event (qid, job_id, kind, namespace, message, reason, epoch)
    select qid_in, e.job_id, e.kind, case e.kind when 'queued' then '_' end, message_in, e.reason, e.epoch
    from (
      select n.ord, 0 as step, n.job_id, 'queued' as kind, null::text as reason, null::int8 as epoch from numbered n
      union all
      select n.ord, 1, n.job_id, case n.stage when 1 then 'claimed' else 'finished' end,
        case n.stage when 2 then 'Success' when 3 then 'Error' end, n.epoch from numbered n where n.stage > 0) e
    order by e.ord, e.step)
  select n.ord from numbered n order by n.ord;
end $$;


--
-- Name: callbacks_of(jsonb); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.callbacks_of(control jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
  asked constant jsonb := control -> 'callbacks';
  owed jsonb := '{}';
  kind text;
begin
  if asked is null or asked = 'null' then return null; end if;
  foreach kind in array array['queued', 'finished'] loop
    continue when coalesce(asked -> kind, 'null') = 'null';
    if jsonb_typeof(asked -> kind -> 'url') is distinct from 'string' or asked -> kind ->> 'url' !~* '^https?://[^/]' then
      perform asman.refuse(format('callbacks.%s has no http or https url', kind));
    end if;
    owed := owed || jsonb_build_object(kind, jsonb_strip_nulls(jsonb_build_object('url', asked -> kind -> 'url'))
      || case when asked -> kind ? 'payload' then jsonb_build_object('payload', asked -> kind -> 'payload') else '{}' end);
  end loop;
  return nullif(owed, '{}');
end $$;


--
-- Name: cancel(text, text, text); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.cancel(queue text, job_id text, namespace text DEFAULT '_'::text) RETURNS text
    LANGUAGE plpgsql
    AS $$
declare
  key constant uuid := asman.qid(queue);
  result text;
begin
  perform asman.check_name('the queue name', queue);
  perform asman.check_name('the job id', job_id);
  perform asman.check_name('the namespace', namespace);
  result := asman.cancel(key, job_id, namespace, 'Cancelled', null::text);
  if result in ('ended', 'left') then perform asman.tell(key, 1); end if;
  return result;
end $$;


--
-- Name: FUNCTION cancel(queue text, job_id text, namespace text); Type: COMMENT; Schema: asman; Owner: -
--

COMMENT ON FUNCTION asman.cancel(queue text, job_id text, namespace text) IS 'Let go of a job in one namespace; it ends when nobody holds it any more.';


--
-- Name: cancel(uuid, text, text, text, text); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.cancel(qid_in uuid, job_id_in text, namespace_in text, reason_in text, message_in text) RETURNS text
    LANGUAGE plpgsql
    AS $$
declare
  j record;
  is_running bool;
  left_over text[];
begin
  for try in 1 .. 1000 loop
    is_running := false;
    select q.*, 0::int8 as epoch, null::text as worker_id, null::timestamptz as claimed_at into j
    from asman.queued q where q.job_id = job_id_in and q.qid = qid_in for update;
    if not found then
      is_running := true;
      select r.* into j from asman.running r where r.job_id = job_id_in and r.qid = qid_in for update;
    end if;
    if found then
      left_over := case when namespace_in = '*' then '{}' else array_remove(j.namespaces, namespace_in) end;
      if left_over = j.namespaces then return 'absent'; end if;
      if cardinality(left_over) > 0 then
        update asman.queued set namespaces = left_over where not is_running and job_id = job_id_in and qid = qid_in;
        update asman.running set namespaces = left_over where is_running and job_id = job_id_in and qid = qid_in;
        insert into asman.event (qid, job_id, kind, reason, namespace, message)
        values (qid_in, job_id_in, 'left', reason_in, namespace_in, message_in);
        update asman.webhook set due_at = now(), expires_at = now() + interval '24 hours', reason = reason_in
        where job_id = job_id_in and qid = qid_in and namespace = namespace_in and kind = 'finished' and due_at is null;
        return 'left';
      end if;
      delete from asman.queued where not is_running and job_id = job_id_in and qid = qid_in;
      delete from asman.running where is_running and job_id = job_id_in and qid = qid_in;
      insert into asman.finished (qid, job_id, epoch, attempt, reason, message, namespace, worker_id, definition_hash, is_true_id,
        is_debug, is_item, class, namespaces, cpus, gpus, memory_bytes, required_seconds, max_seconds, tags, queued_at, claimed_at)
      values (qid_in, job_id_in, j.epoch, j.attempt, reason_in, message_in, namespace_in, j.worker_id, j.definition_hash,
        j.is_true_id, j.is_debug, j.is_item, j.class, j.namespaces, j.cpus, j.gpus, j.memory_bytes, j.required_seconds,
        j.max_seconds, j.tags, j.queued_at, j.claimed_at);
      insert into asman.event (qid, job_id, kind, reason, worker_id, namespace, attempt, epoch, message)
      values (qid_in, job_id_in, 'finished', reason_in, j.worker_id, namespace_in, j.attempt, nullif(j.epoch, 0), message_in);
      return 'ended';
    end if;

    select f.* into j from asman.finished f where f.job_id = job_id_in and f.qid = qid_in order by f.finished_at desc limit 1;
    if found then
      if j.reason = 'Deleted' then return 'removed'; end if;
      if reason_in <> 'Deleted' then return 'finished'; end if;
      delete from asman.finished where job_id = job_id_in and qid = qid_in;
      insert into asman.finished (qid, job_id, epoch, attempt, reason, message, namespace, worker_id, definition_hash, is_true_id,
        is_debug, is_item, class, namespaces, cpus, gpus, memory_bytes, required_seconds, max_seconds, tags, queued_at, claimed_at)
      values (qid_in, job_id_in, j.epoch, j.attempt, 'Deleted', message_in, namespace_in, j.worker_id, j.definition_hash,
        j.is_true_id, j.is_debug, j.is_item, j.class, j.namespaces, j.cpus, j.gpus, j.memory_bytes, j.required_seconds,
        j.max_seconds, j.tags, j.queued_at, j.claimed_at);
      insert into asman.event (qid, job_id, kind, reason, namespace, message)
      values (qid_in, job_id_in, 'deleted', 'Deleted', namespace_in, message_in);
      return 'ended';
    end if;
    -- One statement sees every job in exactly one place: if it is somewhere, it moved while we looked elsewhere.
    exit when not (exists (select from asman.queued where job_id = job_id_in and qid = qid_in)
      or exists (select from asman.running where job_id = job_id_in and qid = qid_in)
      or exists (select from asman.finished where job_id = job_id_in and qid = qid_in));
  end loop;
  return 'unknown';
end $$;


--
-- Name: canonical_json(jsonb); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.canonical_json(value jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
begin
  case jsonb_typeof(value)
    when 'object' then
      return '{' || coalesce((select string_agg(to_json(m.key)::text || ':' || asman.canonical_json(m.value), ','
        order by asman.utf16_order(m.key) collate "C") from jsonb_each(value) m), '') || '}';
    when 'array' then
      return '[' || coalesce((select string_agg(asman.canonical_json(e.value), ',' order by e.ord)
        from jsonb_array_elements(value) with ordinality e (value, ord)), '') || ']';
    when 'string' then return to_json(value #>> '{}')::text;
    when 'number' then return asman.ecmascript_number((value #>> '{}')::numeric);
    else return value::text;
  end case;
end $$;


--
-- Name: FUNCTION canonical_json(value jsonb); Type: COMMENT; Schema: asman; Owner: -
--

COMMENT ON FUNCTION asman.canonical_json(value jsonb) IS 'The one text of a JSON value: what browsers and the API hash.';


--
-- Name: check_definition(jsonb); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.check_definition(d jsonb) RETURNS void
    LANGUAGE plpgsql
    AS $_$
declare
  name text;
begin
  if d is null or jsonb_typeof(d) <> 'object' then perform asman.refuse('the definition cannot be read: it is no JSON object'); end if;
  if octet_length(d::text) > 1048576 then
    perform asman.refuse('the definition is larger than 1024 KiB; upload large inputs with PUT /f/<key>');
  end if;
  foreach name in array array['image', 'command', 'entrypoint', 'workdir'] loop perform asman.check_type(d, name, 'string'); end loop;
  foreach name in array array['build', 'env', 'requirements'] loop perform asman.check_type(d, name, 'object'); end loop;
  perform asman.check_type(d, 'tags', 'array');
  perform asman.check_type(d, 'secrets', 'array');
  if coalesce(btrim(d ->> 'image', E' \t\r\n'), '') = '' and coalesce(d -> 'build', 'null') = 'null' then
    perform asman.refuse('the definition has neither image nor build; give one of them');
  end if;
  foreach name in array array['context', 'buildContext', 'filename', 'target', 'dockerfile', 'platform'] loop
    perform asman.check_type(d -> 'build', name, 'string');
  end loop;
  perform asman.check_type(d -> 'build', 'buildArgs', 'array');
  perform asman.check_refs(d, 'inputs');
  perform asman.check_refs(d, 'configFiles');
  perform asman.size_bytes(d -> 'shmSize');
  for name in select k from jsonb_object_keys(case when jsonb_typeof(d -> 'env') = 'object' then d -> 'env' else '{}' end) k loop
    if name = '' or name like '%=%' then
      perform asman.refuse(format('environment variable "%s" has an empty name, an equals sign or a NUL in it', left(name, 40)));
    end if;
  end loop;
  if jsonb_typeof(d -> 'env') = 'object' and (select count(*) from jsonb_object_keys(d -> 'env')) > 1000 then
    perform asman.refuse('the definition has more than 1000 environment variables');
  end if;
  if jsonb_typeof(d -> 'tags') = 'array' then
    if jsonb_array_length(d -> 'tags') > 32 then perform asman.refuse('the definition has more than 32 tags'); end if;
    if jsonb_path_exists(d, '$.tags[*] ? (@.type() != "string")') then
      perform asman.refuse('the definition cannot be read: tags must be strings');
    end if;
    for name in select t from jsonb_array_elements_text(d -> 'tags') t loop perform asman.check_name('the namespace', name); end loop;
  end if;
  if jsonb_typeof(d -> 'secrets') = 'array' then
    if jsonb_array_length(d -> 'secrets') > 32 then perform asman.refuse('the definition has more than 32 secrets'); end if;
    if jsonb_path_exists(d, '$.secrets[*] ? (@.type() != "string")') then
      perform asman.refuse('the definition cannot be read: secrets must be strings');
    end if;
    for name in select t from jsonb_array_elements_text(d -> 'secrets') t where t !~ '^[A-Za-z_][A-Za-z0-9_]{0,63}$' loop
      perform asman.refuse(format(
        'secret "%s" is no name; use up to 64 letters, digits and underscores, and begin with no digit', left(name, 40)));
    end loop;
  end if;
  foreach name in array array['cpus', 'gpus'] loop
    perform asman.check_type(d -> 'requirements', name, 'number');
    if (d -> 'requirements' ->> name)::numeric not between 0 and (case name when 'cpus' then 4096 else 1024 end) then
      perform asman.refuse(format('requirements.%s must be a number from 0 to %s', name, case name when 'cpus' then 4096 else 1024 end));
    end if;
  end loop;
  if (d -> 'requirements' ->> 'gpus')::numeric % 1 <> 0 then perform asman.refuse('requirements.gpus must be a whole number'); end if;
end $_$;


--
-- Name: check_name(text, text); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.check_name(what text, name text) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  if coalesce(name, '') = '' then perform asman.refuse(what || ' is empty'); end if;
  if length(name) > 255 then perform asman.refuse(what || ' is longer than 255 characters'); end if;
  if name ~ '[\u0001-\u001f\u007f-\u009f/]' then perform asman.refuse(what || ' holds a slash or a control character'); end if;
end $$;


--
-- Name: check_path(text, boolean); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.check_path(path text, is_config boolean) RETURNS void
    LANGUAGE plpgsql
    AS $_$
declare
  below constant text := case when is_config then regexp_replace(path, '^/', '') else path end;
begin
  if not is_config and path like '/%' then
    perform asman.refuse(format('file name "%s" is absolute; give a path below the folder', path));
  end if;
  if below = '' then perform asman.refuse('a file name is empty'); end if;
  if octet_length(below) > 1024 or exists (select from regexp_split_to_table(below, '/') s (s) where octet_length(s) > 255) then
    perform asman.refuse(format('file name "%s"… is too long', left(path, 40)));
  end if;
  if below ~ '(^|/)(|\.|\.\.)(/|$)' or below ~ '[\u0001-\u001f\u007f-\u009f\\]' then
    perform asman.refuse(format('file name "%s" would leave its folder; use plain segments such as a/b.txt', path));
  end if;
end $_$;


--
-- Name: check_refs(jsonb, text); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.check_refs(definition jsonb, name text) RETURNS void
    LANGUAGE plpgsql
    AS $_$
declare
  file record;
begin
  perform asman.check_type(definition, name, 'object');
  if jsonb_typeof(definition -> name) is distinct from 'object' then return; end if;
  if (select count(*) from jsonb_object_keys(definition -> name)) > 1000 then
    perform asman.refuse(format('the definition has more than 1000 %s', name));
  end if;
  for file in select key, value from jsonb_each(definition -> name) loop
    perform asman.check_path(file.key, name = 'configFiles');
    if jsonb_typeof(file.value) <> 'object' or not file.value ? 'value' then
      perform asman.refuse(format('the definition cannot be read: file "%s" has no value', file.key));
    end if;
    if file.value -> 'type' not in ('null', '"base64"', '"url"', '"utf8"', '"json"', '"key"')
      or (file.value -> 'hash' <> 'null' and jsonb_typeof(file.value -> 'hash') <> 'string') then
      perform asman.refuse(format('the definition cannot be read: file "%s" has an unknown type or a hash that is no text', file.key));
    end if;
    if file.value ->> 'type' = 'base64'
      and (jsonb_typeof(file.value -> 'value') <> 'string' or file.value ->> 'value' !~ '^[A-Za-z0-9+/=_[:space:]-]*$') then
      perform asman.refuse(format('the value of file "%s" is no base64, as its type says', left(file.key, 40)));
    end if;
  end loop;
end $_$;


--
-- Name: check_type(jsonb, text, text[]); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.check_type(value jsonb, name text, VARIADIC types text[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  if value -> name <> 'null' and jsonb_typeof(value -> name) <> all (types) then
    perform asman.refuse(format('the definition cannot be read: %s must be %s', name, array_to_string(types, ' or ')));
  end if;
end $$;


--
-- Name: claim_webhooks(text[], integer[], integer, integer, text, double precision); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.claim_webhooks(hosts text[], n_busy integer[], n_host_max integer, n_max integer, after text, lease_seconds double precision) RETURNS TABLE(id uuid, job_id text, queue text, namespace text, kind text, url text, host text, payload text, reason text, status_code bigint, n_attempts integer, secret text)
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET enable_sort TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $$
#variable_conflict use_column
begin
  return query
  with recursive hop (host) as (
    (select w.host from asman.webhook w where w.due_at is not null and w.host > after order by w.host limit 1)
    union all
    select (select w.host from asman.webhook w where w.due_at is not null and w.host > h.host order by w.host limit 1)
    from hop h where h.host is not null),
  pick as materialized (
    select d.id from hop h left join unnest(hosts, claim_webhooks.n_busy) as b (host, n) on b.host = h.host
    cross join lateral (
      select w.id from asman.webhook w where w.host = h.host and w.due_at <= now()
        and not exists (
          select from asman.webhook s where w.kind = 'finished' and s.job_id = w.job_id and s.qid = w.qid and s.due_at is not null
            and s.namespace = w.namespace and s.kind = 'queued' and s.last_error is null)
      order by w.due_at limit greatest(n_host_max - coalesce(b.n, 0), 0) for update of w skip locked) d
    limit n_max),
  taken as (
    update asman.webhook w set due_at = now() + make_interval(secs => lease_seconds), n_attempts = w.n_attempts + 1
    from pick p where w.id = p.id
    returning w.*)
  select t.id, t.job_id, t.queue, t.namespace, t.kind, t.url, t.host, t.payload::text, t.reason, t.status_code, t.n_attempts,
    (select q.webhook_secret from asman.queue q where q.qid = t.qid)
  from taken t;
end $$;


--
-- Name: duration_seconds(jsonb); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.duration_seconds(value jsonb) RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $_$
declare
  written constant text := btrim(value #>> '{}', E' \t\r\n');
  rest text := written;
  part text[];
  unit_ms numeric;
  ms numeric := 0;
begin
  if value is null or value = 'null' then return null; end if;
  if written ~* '^\+?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?$' then
    ms := written::numeric;
  else
    if rest = '' then ms := null; end if;
    while rest <> '' and ms is not null loop
      part := regexp_match(rest, '^(\d+\.?\d*|\.\d+)\s*([A-Za-z]+)\s*(.*)$');
      unit_ms := case
        when part[2] = 'ms' then 1
        when part[2] in ('s', 'sec', 'secs', 'second', 'seconds') then 1000
        when part[2] in ('m', 'min', 'mins', 'minute', 'minutes') then 60000
        when part[2] in ('h', 'hr', 'hour', 'hours') then 3600000
        when part[2] in ('d', 'day', 'days') then 86400000 end;
      ms := ms + part[1]::numeric * unit_ms;
      rest := part[3];
    end loop;
  end if;
  if ms is null or ms > 2592000000 or jsonb_typeof(value) not in ('string', 'number') then
    perform asman.refuse(format('"%s" is no duration; write it as 90s, 20m, 1h30m or 250ms', left(written, 40)));
  end if;
  return ms / 1000;
end $_$;


--
-- Name: ecmascript_number(numeric); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.ecmascript_number(value numeric) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    SET extra_float_digits TO '1'
    AS $$
declare
  printed text;
  sign text;
  digits text;
  n_digits int;
  point int;
begin
  begin
    printed := value::float8::text;
  exception when numeric_value_out_of_range then
    -- As every reader of JSON does: too small for a double is zero.
    if abs(value) < 1 then return '0'; end if;
    raise exception 'the number % does not fit a double and has no canonical form', left(value::text, 40)
      using errcode = 'numeric_value_out_of_range';
  end;
  sign := case when printed like '-%' then '-' else '' end;
  printed := ltrim(printed, '-');
  digits := split_part(printed, 'e', 1);
  point := length(split_part(digits, '.', 1)) + coalesce(nullif(split_part(printed, 'e', 2), '')::int, 0);
  digits := replace(digits, '.', '');
  -- Leading zeros move the point, trailing ones say nothing.
  point := point - (length(digits) - length(ltrim(digits, '0')));
  digits := trim(both '0' from digits);
  n_digits := length(digits);
  if n_digits = 0 then return '0'; end if;
  return sign || case
    when n_digits <= point and point <= 21 then digits || repeat('0', point - n_digits)
    when 0 < point and point <= 21 then left(digits, point) || '.' || substr(digits, point + 1)
    when -6 < point and point <= 0 then '0.' || repeat('0', -point) || digits
    else left(digits, 1) || case when n_digits > 1 then '.' || substr(digits, 2) else '' end || 'e'
      || case when point > 0 then '+' else '-' end || abs(point - 1) end;
end $$;


--
-- Name: enqueue(text, jsonb, jsonb); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.enqueue(queue text, definition jsonb, control jsonb DEFAULT '{}'::jsonb) RETURNS text
    LANGUAGE plpgsql
    AS $$
declare
  key uuid;
  id text;
  text_of_it text;
  hash bytea;
  needs record;
  held_by text := coalesce(control ->> 'namespace', '_');
  longest numeric;
  owed jsonb;
  result text;
begin
  perform asman.check_name('the queue name', queue);
  perform asman.check_definition(definition);
  if jsonb_typeof(coalesce(control, '{}')) <> 'object' then perform asman.refuse('control is no JSON object'); end if;
  if jsonb_typeof(control -> 'namespace') not in ('string', 'null') then perform asman.refuse('the namespace is no text'); end if;
  perform asman.check_name('the namespace', held_by);
  if held_by = '*' then perform asman.refuse('the namespace * means all and cannot hold a job; choose a name'); end if;
  owed := asman.callbacks_of(control);
  key := asman.qid(queue);
  id := asman.job_id(definition);
  hash := sha256(convert_to(asman.canonical_json(definition), 'UTF8'));
  text_of_it := asman.canonical_json(asman.keep_login(definition, hash));
  needs := asman.needs_of(definition);
  longest := asman.duration_seconds(control -> 'maxDuration');
  select s.outcome into result from asman.submit_within_limits(array[key], array[id], array[hash], array[text_of_it],
     array[held_by], array[true], array[false], array[needs.class], array[0::int2], array[needs.cpus], array[needs.gpus],
    array[needs.memory_bytes], array[needs.required_seconds], array[least(needs.max_seconds, ceil(longest)::int4)],
    array[array_to_string(needs.tags, '/')], array[false], array[case when owed is not null then queue end], array[owed::text]) s;
  if result in ('queue full', 'namespace full') then
    raise exception 'the % has no place for another job; try again later', replace(result, ' full', '')
      using errcode = 'program_limit_exceeded';
  end if;
  perform asman.tell(key, 3);
  return id;
end $$;


--
-- Name: FUNCTION enqueue(queue text, definition jsonb, control jsonb); Type: COMMENT; Schema: asman; Owner: -
--

COMMENT ON FUNCTION asman.enqueue(queue text, definition jsonb, control jsonb) IS 'Queue a job; gives its id. Sending it again is harmless.';


--
-- Name: items(uuid); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.items(qid_in uuid) RETURNS TABLE(job_id text, stage integer, priority smallint, place bigint, definition_hash bytea, is_item boolean, attempt smallint, n_lost smallint, epoch bigint, worker_id text, deadline timestamp with time zone, reason text, message text, queued_at timestamp with time zone, claimed_at timestamp with time zone, finished_at timestamp with time zone, result json)
    LANGUAGE sql STABLE
    AS $$
  select q.job_id, 0, q.priority, q.seq, q.definition_hash, q.is_item, q.attempt, q.n_lost, 0::int8, null::text, null::timestamptz,
    null::text, null::text, q.queued_at, null::timestamptz, null::timestamptz, null::json
  from asman.queued q where q.qid = qid_in
  union all
  select r.job_id, 1, 0::int2, r.epoch, r.definition_hash, r.is_item, r.attempt, r.n_lost, r.epoch, r.worker_id, r.deadline,
    null::text, null::text, r.queued_at, r.claimed_at, null::timestamptz, null::json
  from asman.running r where r.qid = qid_in
  union all
  select f.job_id, case f.reason when 'Success' then 2 else 3 end, 0::int2, (extract(epoch from f.finished_at) * 1000000)::int8,
    f.definition_hash, f.is_item, f.attempt, 0::int2, f.epoch, f.worker_id, null::timestamptz, f.reason, f.message, f.queued_at,
    f.claimed_at, f.finished_at, f.result
  from asman.finished f where f.qid = qid_in and f.reason <> 'Deleted'
    and (select true from asman.finished g where g.job_id = f.job_id and g.qid = f.qid and g.finished_at > f.finished_at limit 1) is null
    and (select true from asman.queued q where (q.job_id, q.qid) between (f.job_id, f.qid) and (f.job_id, f.qid) limit 1) is null
    and (select true from asman.running r where (r.job_id, r.qid) between (f.job_id, f.qid) and (f.job_id, f.qid) limit 1) is null
$$;


--
-- Name: job_id(jsonb); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.job_id(definition jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
declare
  stripped jsonb := definition;
  name text;
begin
  if jsonb_typeof(definition) = 'object' then
    foreach name in array array['inputs', 'configFiles'] loop
      continue when jsonb_typeof(definition -> name) is distinct from 'object';
      stripped := jsonb_set(stripped, array[name], coalesce(
        (select jsonb_object_agg(r.key, asman.stripped_ref(r.value)) from jsonb_each(definition -> name) r), '{}'));
    end loop;
    if jsonb_typeof(definition -> 'env') = 'object' then
      -- Removed when true in JavaScript's sense.
      foreach name in array array['channel', 'CHANNEL'] loop
        if definition -> 'env' -> name not in ('null', 'false', '0', '""') then stripped := stripped #- array['env', name]; end if;
      end loop;
    end if;
  end if;
  return encode(sha256(convert_to(asman.canonical_json(stripped), 'UTF8')), 'hex');
end $$;


--
-- Name: FUNCTION job_id(definition jsonb); Type: COMMENT; Schema: asman; Owner: -
--

COMMENT ON FUNCTION asman.job_id(definition jsonb) IS 'Id of a definition: the hash of its canonical JSON without what does not change the work.';


--
-- Name: job_lock(uuid, text); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.job_lock(qid uuid, job_id text) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN hashtextextended(job_id, ((('x'::text || "left"((qid)::text, 8)))::bit(32))::bigint);


--
-- Name: keep_login(jsonb, bytea); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.keep_login(definition jsonb, hash_in bytea) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
  parts constant text[] := asman.login_parts(definition);
begin
  if parts is null then return definition; end if;
  insert into asman.login (hash, login) values (hash_in, parts[2]) on conflict (hash) do update set used_at = now();
  return jsonb_set(definition, '{build,context}', to_jsonb(parts[1] || parts[3]));
end $$;


--
-- Name: login_parts(jsonb); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.login_parts(definition jsonb) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN regexp_match(CASE WHEN (jsonb_typeof((definition #> '{build,context}'::text[])) = 'string'::text) THEN (definition #>> '{build,context}'::text[]) ELSE NULL::text END, '^(\s*[A-Za-z0-9+.-]+:[/\\]*)([^/?#\\]*)@(.*)$'::text);


--
-- Name: maintain(interval, interval, interval); Type: PROCEDURE; Schema: asman; Owner: -
--

CREATE PROCEDURE asman.maintain(IN keep_results interval DEFAULT '28 days'::interval, IN keep_logs interval DEFAULT '7 days'::interval, IN keep_queued interval DEFAULT '28 days'::interval)
    LANGUAGE plpgsql
    AS $$
begin
  if not pg_try_advisory_xact_lock(hashtextextended('asman.maintain', 0)) then return; end if;
  perform asman.roll_partitions('finished', '1 week', 4, keep_results);
  perform asman.roll_partitions('event', '1 day', 4, keep_results);
  perform asman.roll_partitions('log_chunk', '1 day', 4, keep_logs);

  with late as (
    select q.qid, q.class, q.priority, q.seq from asman.queued q where q.queued_at < now() - keep_queued
    limit 10000 for update skip locked),
  gone as (
    delete from asman.queued q using late l where (q.qid, q.class, q.priority, q.seq) = (l.qid, l.class, l.priority, l.seq)
    returning q.*),
  ended as (
    insert into asman.finished (qid, job_id, epoch, attempt, reason, message, definition_hash, is_true_id, is_debug, is_item,
      class, namespaces, cpus, gpus, memory_bytes, required_seconds, max_seconds, tags, queued_at)
    select qid, job_id, 0, attempt, 'Cancelled', 'it waited too long for a worker', definition_hash, is_true_id, is_debug, is_item,
      class, namespaces, cpus, gpus, memory_bytes, required_seconds, max_seconds, tags, queued_at from gone)
  insert into asman.event (qid, job_id, kind, reason, message)
  select qid, job_id, 'expired', 'Cancelled', 'it waited too long for a worker' from gone;

  -- A definition is last used at a submission; then its job waits, runs (30 days at most) and is kept.
  with old as (
    select d.hash from asman.definition d where d.used_at < now() - keep_queued - keep_results - interval '31 days'
      -- An item may be claimed for ever.
      and not exists (select from asman.running r where r.definition_hash = d.hash)
    order by d.used_at limit 10000 for update skip locked)
  delete from asman.definition d using old where d.hash = old.hash;
  -- It is kept shortly before its definition is.
  delete from asman.login l where l.used_at < now() - interval '1 day'
    and not exists (select from asman.definition d where d.hash = l.hash);

  -- Queues that keep results for less time than the rest.
  with old as (
    select f.job_id, f.qid, f.finished_at from asman.queue q join asman.finished f on f.qid = q.qid
    where q.retention_days is not null and f.finished_at < now() - make_interval(days => q.retention_days) limit 10000),
  lines as (
    delete from asman.log_chunk l using old o where l.job_id = o.job_id and l.qid = o.qid
      and not exists (select from asman.running r where r.job_id = o.job_id and r.qid = o.qid))
  delete from asman.finished f using old o where (f.job_id, f.qid, f.finished_at) = (o.job_id, o.qid, o.finished_at);

  -- A job waits and runs for no longer than that: who held it then holds nothing now, and what it owed is void.
  delete from asman.hold h where h.since < now() - keep_queued - interval '31 days';
  delete from asman.webhook w where w.due_at is null and w.armed_at < now() - keep_queued - interval '33 days';

  -- Senders give up by themselves. This is what nobody could try for a day after that.
  delete from asman.webhook w where w.expires_at < now() - interval '1 day';

  -- A delivery that was armed in the very moment in which its job ended: the job's end did not see it.
  with missed as materialized (
    select w.id, w.job_id, w.qid from asman.webhook w where w.due_at is null and w.armed_at < now() - interval '1 minute'
      and not exists (select from asman.queued q where q.job_id = w.job_id and q.qid = w.qid)
      and not exists (select from asman.running r where r.job_id = w.job_id and r.qid = w.qid) limit 10000)
  update asman.webhook w set due_at = now(), expires_at = now() + interval '24 hours', reason = f.reason, status_code = f.status_code
  from missed m cross join lateral (
    select f.reason, f.status_code from asman.finished f where f.job_id = m.job_id and f.qid = m.qid
    order by f.finished_at desc limit 1) f
  where w.id = m.id and w.due_at is null;

  delete from asman.worker w where w.last_seen < now() - interval '1 hour'
    and not exists (select from asman.running r where r.qid = w.qid and r.worker_id = w.worker_id);
end $$;


--
-- Name: make_webhooks_due(); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.make_webhooks_due() RETURNS trigger
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
begin
  update asman.webhook w
  set due_at = now(), expires_at = now() + interval '24 hours', reason = e.reason, status_code = e.status_code
  from ended e where w.job_id = e.job_id and w.qid = e.qid and w.kind = 'finished' and w.due_at is null;
  return null;
end $$;


--
-- Name: needs_of(jsonb); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.needs_of(d jsonb, OUT cpus double precision, OUT gpus integer, OUT memory_bytes bigint, OUT required_seconds integer, OUT max_seconds integer, OUT tags text[], OUT class bigint) RETURNS record
    LANGUAGE plpgsql STABLE
    SET extra_float_digits TO '1'
    AS $$
declare
  wants constant jsonb := d -> 'requirements';
begin
  cpus := coalesce((wants ->> 'cpus')::float8, 1);
  gpus := coalesce((wants ->> 'gpus')::numeric, 0);
  memory_bytes := coalesce(asman.size_bytes(wants -> 'memory'), 0);
  required_seconds := coalesce(ceil(asman.duration_seconds(wants -> 'maxDuration')), 0);
  max_seconds := coalesce(ceil(asman.duration_seconds(d -> 'maxDuration')), 86400);
  tags := array(select distinct t collate "C" from jsonb_array_elements_text(
    case when jsonb_typeof(d -> 'tags') = 'array' then d -> 'tags' else '[]' end) t order by 1);
  class := ('x' || encode(substring(sha256(convert_to(concat_ws('|', cpus::text::numeric::text, gpus, memory_bytes, required_seconds,
    array_to_string(tags, '/')), 'UTF8')) for 8), 'hex'))::bit(64)::int8;
end $$;


--
-- Name: over_limit(uuid[], text[], text[]); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.over_limit(qids uuid[], job_ids text[], namespaces text[]) RETURNS TABLE(ord bigint, outcome text)
    LANGUAGE sql
    AS $$
with item as (
  select s.*, p.n_queued_max, p.n_namespace_max
  from unnest(qids, job_ids, namespaces) with ordinality s (qid, job_id, namespace, ord)
  join asman.queue p on p.qid = s.qid and (p.n_queued_max is not null or p.n_namespace_max is not null)),
place as materialized (
  select i.*, w.namespaces as held, w.job_id is null as is_new from item i
  left join asman.queued w on w.job_id = i.job_id and w.qid = i.qid
  where not exists (select from asman.running r where r.job_id = i.job_id and r.qid = i.qid)
    and (w.job_id is not null or (select f.reason from asman.finished f where f.job_id = i.job_id and f.qid = i.qid
      order by f.finished_at desc limit 1) in ('Success', 'Error', 'TimedOut') is not true)),
hold as (
  select p.qid, p.job_id, p.namespace, min(p.ord) as first, min(p.n_namespace_max) as n_max from place p
  where p.n_namespace_max is not null and (p.is_new or not p.held @> array[p.namespace]) group by 1, 2, 3),
full_namespace as materialized (
  select r.* from (select h.*, row_number() over (partition by h.qid, h.namespace order by h.first) as rank from hold h) r
  where r.rank > r.n_max - (select count(*) from asman.queued q where q.qid = r.qid and q.namespaces @> array[r.namespace])),
newcomer as (
  select p.qid, p.job_id, min(p.ord) as first, min(p.n_queued_max) as n_max from place p
  where p.n_queued_max is not null and p.is_new
    and not exists (select from full_namespace f where (f.qid, f.job_id, f.namespace) = (p.qid, p.job_id, p.namespace))
  group by 1, 2),
full_queue as materialized (
  select r.* from (select n.*, row_number() over (partition by n.qid order by n.first) as rank from newcomer n) r
  where r.rank > r.n_max - (select count(*) from (select from asman.queued q where q.qid = r.qid limit r.n_max) c))
select p.ord, case when f.qid is not null then 'namespace full' else 'queue full' end
from place p
left join full_namespace f on (f.qid, f.job_id, f.namespace) = (p.qid, p.job_id, p.namespace)
left join full_queue n on (n.qid, n.job_id) = (p.qid, p.job_id)
where f.qid is not null or n.qid is not null
$$;


--
-- Name: qid(text); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.qid(queue text) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (encode(SUBSTRING(sha256(convert_to(queue, 'UTF8'::name)) FROM 1 FOR 16), 'hex'::text))::uuid;


--
-- Name: FUNCTION qid(queue text); Type: COMMENT; Schema: asman; Owner: -
--

COMMENT ON FUNCTION asman.qid(queue text) IS 'Key of a queue: first 128 bits of the SHA-256 of its name.';


--
-- Name: queue_lock(uuid); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.queue_lock(qid uuid) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN hashtextextended(('asman.items:'::text || (qid)::text), (0)::bigint);


--
-- Name: refuse(text); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.refuse(sentence text) RETURNS void
    LANGUAGE plpgsql
    AS $$ begin raise exception '%', sentence using errcode = 'invalid_parameter_value'; end $$;


--
-- Name: roll_partitions(text, interval, integer, interval); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.roll_partitions(parent text, step interval, n_ahead integer, keep interval) RETURNS void
    LANGUAGE plpgsql
    SET lock_timeout TO '2s'
    AS $_$
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
end $_$;


--
-- Name: settle_webhooks(uuid[], integer[], text[], double precision, double precision); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.settle_webhooks(ids uuid[], tries integer[], errors text[], first_seconds double precision, most_seconds double precision) RETURNS TABLE(id uuid, is_given_up boolean)
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
#variable_conflict use_column
begin
  return query
  with said as (select * from unnest(ids, tries, errors) as s (id, n_attempts, error)),
  gone as (
    delete from asman.webhook w using said s
    where w.id = s.id and (s.error is null or (w.n_attempts = s.n_attempts and w.expires_at <= now()))
    returning w.id, s.error is not null as is_given_up),
  later as (
    update asman.webhook w set last_error = s.error, due_at = least(w.expires_at, now() + make_interval(secs =>
      least(most_seconds, first_seconds * power(2, least(w.n_attempts, 30) - 1) * (1 + random() / 4))))
    from said s where w.id = s.id and s.error is not null and w.n_attempts = s.n_attempts and w.expires_at > now())
  select g.id, g.is_given_up from gone g;
end $$;


--
-- Name: size_bytes(jsonb); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.size_bytes(value jsonb) RETURNS bigint
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    AS $_$
declare
  written constant text := lower(btrim(value #>> '{}', E' \t\r\n'));
  part constant text[] := regexp_match(written, '^(\d+\.?\d*|\.\d+)(e\d{1,3})?\s*([a-z]*)$');
  factor numeric;
begin
  if value is null or value = 'null' then return null; end if;
  factor := case
    when part[3] in ('', 'b') then 1
    when part[3] in ('k', 'kb', 'kib') then 1024
    when part[3] in ('m', 'mb', 'mib') then 1024 ^ 2
    when part[3] in ('g', 'gb', 'gib') then 1024 ^ 3
    when part[3] in ('t', 'tb', 'tib') then 1024 ^ 4 end;
  factor := trunc((part[1] || coalesce(part[2], ''))::numeric * factor);
  if factor is null or factor > 9007199254740992 or jsonb_typeof(value) not in ('string', 'number') then
    perform asman.refuse(format('"%s" is no size; write it as 512m, 4g or 4GiB', left(written, 40)));
  end if;
  return factor::int8;
end $_$;


--
-- Name: stripped_ref(jsonb); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.stripped_ref(reference jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
declare
  url text := reference ->> 'value';
begin
  if jsonb_typeof(reference) <> 'object' then return reference; end if;
  reference := reference - 'hash';
  if reference -> 'type' is distinct from '"url"'::jsonb or jsonb_typeof(reference -> 'value') <> 'string' then return reference; end if;
  if position('/presignedurl/' in url) > 0 then
    url := left(url, position('/presignedurl/' in url) - 1);
  elsif starts_with(url, 'https://metaframe-asman-test.s3.us-west-1.amazonaws.com') then
    url := substring(url from '^[^?#]*');
  end if;
  return jsonb_set(reference, '{value}', to_jsonb(url));
end $$;


--
-- Name: submit(uuid[], text[], bytea[], text[], text[], boolean[], boolean[], bigint[], smallint[], double precision[], integer[], bigint[], integer[], integer[], text[], boolean[], text[], text[]); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.submit(qids uuid[], job_ids text[], hashes bytea[], bodies text[], namespaces_in text[], true_ids boolean[], debugs boolean[], classes bigint[], priorities smallint[], cpus_in double precision[], gpus_in integer[], memory_in bigint[], required_in integer[], max_in integer[], tags_in text[], is_items boolean[], queues text[], callbacks_in text[]) RETURNS TABLE(ord bigint, outcome text)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
begin
  -- Items of the queue are added under the same lock alone: see asman.add_items.
  perform pg_advisory_xact_lock_shared(k.key) from (select distinct asman.queue_lock(q.qid) as key from unnest(qids) as q (qid) order by 1) k;

  perform pg_advisory_xact_lock(k.key) from (
    select distinct asman.job_lock(s.qid, s.job_id) as key
    from unnest(qids, job_ids) as s (qid, job_id) order by 1) as k;

  -- Where it waits, where it runs, and again where it waits, because a release may move it back in between.
  for i in 1 .. 3 loop
    if i = 2 then
      perform from (select distinct u.job_id, u.qid from unnest(qids, job_ids) as u (qid, job_id) order by 1, 2) s
      cross join lateral (select from asman.running r where (r.job_id, r.qid) between (s.job_id, s.qid) and (s.job_id, s.qid) for update) l;
    else
      perform from (select distinct u.job_id, u.qid from unnest(qids, job_ids) as u (qid, job_id) order by 1, 2) s
      cross join lateral (select from asman.queued q where (q.job_id, q.qid) between (s.job_id, s.qid) and (s.job_id, s.qid) for update) l;
    end if;
  end loop;

  insert into asman.definition (hash, body)
  select distinct on (d.hash) d.hash, d.body from unnest(hashes, bodies) as d (hash, body) order by d.hash
  on conflict (hash) do update set used_at = now() where definition.used_at < now() - interval '1 day';

  return query
  with item as materialized (
    select * from unnest(qids, job_ids, hashes, namespaces_in, true_ids, debugs, classes, priorities, cpus_in, gpus_in, memory_in,
      required_in, max_in, tags_in, is_items, queues, callbacks_in) with ordinality
      as s (qid, job_id, hash, namespace, is_true_id, is_debug, class, priority, cpus, gpus, memory_bytes, required_seconds,
        max_seconds, tags, is_item, queue, callbacks, ord)),
  found as materialized (
    select i.ord, i.qid, i.job_id, i.namespace,
      case when (select true from asman.running r where (r.job_id, r.qid) between (i.job_id, i.qid) and (i.job_id, i.qid) limit 1) then 'running'
           when (select true from asman.queued q where (q.job_id, q.qid) between (i.job_id, i.qid) and (i.job_id, i.qid) limit 1) then 'queued'
           when (select f.reason from asman.finished f where f.job_id = i.job_id and f.qid = i.qid
                 order by f.finished_at desc limit 1) in ('Success', 'Error', 'TimedOut') then 'finished'
           else 'new' end as outcome
    from item i),
  joiner as materialized (
    select f.qid, f.job_id, f.outcome, array_agg(distinct f.namespace) as namespaces from found f group by 1, 2, 3),
  first as materialized (
    select distinct on (i.qid, i.job_id) i.* from item i join found f using (ord) where f.outcome = 'new'
    order by i.qid, i.job_id, i.ord),
  added as (
    insert into asman.queued (qid, class, priority, job_id, definition_hash, is_true_id, is_debug, is_item, namespaces, cpus, gpus,
      memory_bytes, required_seconds, max_seconds, tags)
    select n.qid, n.class, n.priority, n.job_id, n.hash, n.is_true_id, n.is_debug, n.is_item, j.namespaces, n.cpus, n.gpus,
      n.memory_bytes, n.required_seconds, n.max_seconds, coalesce(string_to_array(nullif(n.tags, ''), '/'), '{}')
    from first n join joiner j on (j.qid, j.job_id, j.outcome) = (n.qid, n.job_id, 'new') order by n.ord),
  joined_queued as (
    update asman.queued q set namespaces = asman.union_of(q.namespaces, j.namespaces)
    from joiner j
    where j.outcome = 'queued' and (q.job_id, q.qid) between (j.job_id, j.qid) and (j.job_id, j.qid) and not q.namespaces @> j.namespaces
    returning q.qid, q.job_id, j.namespaces),
  joined_running as (
    update asman.running r set namespaces = asman.union_of(r.namespaces, j.namespaces)
    from joiner j
    where j.outcome = 'running' and (r.job_id, r.qid) between (j.job_id, j.qid) and (j.job_id, j.qid) and not r.namespaces @> j.namespaces
    returning r.qid, r.job_id, j.namespaces),
  -- "Queued" is owed once a hold, "finished" once until it was said, and at once where the result is there already.
  owed as (
    select distinct on (i.qid, i.job_id, i.namespace, c.key, c.value ->> 'url') i.*, f.outcome, c.key as kind, c.value as callback
    from item i join found f using (ord) cross join lateral json_each(i.callbacks::json) c
    where i.callbacks is not null and c.key in ('queued', 'finished') and json_typeof(c.value) = 'object'
      and (c.key = 'finished' or f.outcome in ('new', 'finished')
        or (f.outcome = 'queued' and not exists (select from asman.queued q
              where q.job_id = i.job_id and q.qid = i.qid and q.namespaces @> array[i.namespace]))
        or (f.outcome = 'running' and not exists (select from asman.running r
              where r.job_id = i.job_id and r.qid = i.qid and r.namespaces @> array[i.namespace])))
    order by i.qid, i.job_id, i.namespace, c.key, c.value ->> 'url', i.ord),
  armed as (
    insert into asman.webhook (qid, job_id, queue, namespace, kind, url, payload, due_at, expires_at, reason, status_code)
    select o.qid, o.job_id, o.queue, o.namespace, o.kind, o.callback ->> 'url', o.callback -> 'payload',
      case when is_due then now() end, case when is_due then now() + interval '24 hours' end, e.reason, e.status_code
    from owed o
    cross join lateral (select o.kind = 'queued' or o.outcome = 'finished' as is_due) d
    left join lateral (
      select f.reason, f.status_code from asman.finished f where o.outcome = 'finished' and o.kind = 'finished'
        and f.job_id = o.job_id and f.qid = o.qid order by f.finished_at desc limit 1) e on true
    -- What still tries to reach its receiver is not owed again, however often the submission is sent meanwhile.
    left join lateral (
      select true as is_told from asman.webhook w where is_due and w.job_id = o.job_id and w.qid = o.qid and w.due_at is not null
        and (w.namespace, w.kind, w.url) = (o.namespace, o.kind, o.callback ->> 'url') and w.reason is not distinct from e.reason
      limit 1) u on true
    where u.is_told is null
    on conflict (job_id, qid, namespace, kind, md5(url)) where due_at is null do nothing),
  noted as (
    insert into asman.event (qid, job_id, kind, namespace)
    select n.qid, n.job_id, 'queued', n.namespace from first n
    union all select qid, job_id, 'joined', namespaces[1] from joined_queued
    union all select qid, job_id, 'joined', namespaces[1] from joined_running)
  select f.ord, case when f.outcome = 'new' and not exists (select from first n where n.ord = f.ord) then 'queued' else f.outcome end
  from found f order by f.ord;

  if exists (select from unnest(namespaces_in) as n (namespace) where n.namespace <> '_') then
    perform asman.take_holds(qids, namespaces_in, job_ids);
  end if;
end $$;


--
-- Name: submit_within_limits(uuid[], text[], bytea[], text[], text[], boolean[], boolean[], bigint[], smallint[], double precision[], integer[], bigint[], integer[], integer[], text[], boolean[], text[], text[]); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.submit_within_limits(qids uuid[], job_ids text[], hashes bytea[], bodies text[], namespaces_in text[], true_ids boolean[], debugs boolean[], classes bigint[], priorities smallint[], cpus_in double precision[], gpus_in integer[], memory_in bigint[], required_in integer[], max_in integer[], tags_in text[], is_items boolean[], queues text[], callbacks_in text[]) RETURNS TABLE(ord bigint, outcome text)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
declare
  refused int8[];
  words text[];
  kept int4[];
begin
  if not exists (select from asman.queue p where p.qid = any (qids)
    and (p.n_queued_max is not null or p.n_namespace_max is not null or p.max_seconds is not null)) then
    return query select s.ord, s.outcome from asman.submit(qids, job_ids, hashes, bodies, namespaces_in, true_ids, debugs, classes,
      priorities, cpus_in, gpus_in, memory_in, required_in, max_in, tags_in, is_items, queues, callbacks_in) s;
    return;
  end if;
  perform from asman.queue p where p.qid = any (qids) and (p.n_queued_max is not null or p.n_namespace_max is not null)
  order by p.qid for update;
  select array_agg(r.ord), array_agg(r.outcome) into refused, words from asman.over_limit(qids, job_ids, namespaces_in) r;
  kept := array(select i::int4 from generate_subscripts(qids, 1) i where i <> all (coalesce(refused, '{}')) order by i);
  return query
  with k as materialized (select i, n from unnest(kept) with ordinality k (i, n)),
  v as materialized (
    select array_agg(qids[k.i] order by n) qid, array_agg(job_ids[k.i] order by n) job_id, array_agg(hashes[k.i] order by n) hash,
      array_agg(bodies[k.i] order by n) body, array_agg(namespaces_in[k.i] order by n) namespace,
      array_agg(true_ids[k.i] order by n) is_true, array_agg(debugs[k.i] order by n) is_debug, array_agg(classes[k.i] order by n) class,
      array_agg(priorities[k.i] order by n) priority, array_agg(cpus_in[k.i] order by n) cpus, array_agg(gpus_in[k.i] order by n) gpus,
      array_agg(memory_in[k.i] order by n) memory, array_agg(required_in[k.i] order by n) required,
      array_agg(least(max_in[k.i], p.max_seconds) order by n) max_s, array_agg(tags_in[k.i] order by n) tags,
      array_agg(is_items[k.i] order by n) is_item, array_agg(queues[k.i] order by n) queue, array_agg(callbacks_in[k.i] order by n) callbacks
    from k left join asman.queue p on p.qid = qids[k.i])
  select k.i::int8, s.outcome from v
  cross join lateral asman.submit(v.qid, v.job_id, v.hash, v.body, v.namespace, v.is_true, v.is_debug, v.class, v.priority, v.cpus, v.gpus,
    v.memory, v.required, v.max_s, v.tags, v.is_item, v.queue, v.callbacks) s
  join k on k.n = s.ord where cardinality(kept) > 0
  union all
  select r.ord, r.outcome from unnest(refused, words) r (ord, outcome)
  order by 1;
end $$;


--
-- Name: supersede(); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.supersede() RETURNS TABLE(qid uuid, outcome text)
    LANGUAGE plpgsql
    AS $$
#variable_conflict use_column
declare
  s asman.supersession;
begin
  select d.* into s from asman.supersession d where d.due_at <= now() order by d.due_at limit 1 for update skip locked;
  if not found then return; end if;
  -- A submission of the same job is over before the holder is looked up, or begins after the job has ended.
  perform pg_advisory_xact_lock(asman.job_lock(s.qid, s.job_id));
  delete from asman.supersession d where d.qid = s.qid and d.job_id = s.job_id and d.namespace = s.namespace;
  return query select s.qid, case
    when exists (select from asman.hold h where h.qid = s.qid and h.namespace = s.namespace and h.job_id = s.job_id) then 'kept'
    else asman.cancel(s.qid, s.job_id, s.namespace, 'JobReplacedByClient', 'a newer job took its namespace') end;
end $$;


--
-- Name: sweep(interval, smallint); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.sweep(lease interval, n_lost_max smallint) RETURNS TABLE(qid uuid, job_id text, is_final boolean)
    LANGUAGE sql
    AS $$
with lost as (
  select r.qid, r.job_id,
    case when r.deadline < now() then 'it ran past its deadline' else 'its worker stopped answering' end as why
  from asman.running r left join asman.worker w on w.qid = r.qid and w.worker_id = r.worker_id
  -- A claim is a sign of life too: a worker that waited for it without heartbeats must not lose it the moment it has it.
  where (r.deadline < now() or (not r.by_deadline and greatest(w.last_seen, r.claimed_at) < now() - lease))
    and pg_postmaster_start_time() < now() - lease
  order by r.claimed_at limit 500
  for update of r skip locked),
gone as (
  delete from asman.running r using lost l where (r.job_id, r.qid) between (l.job_id, l.qid) and (l.job_id, l.qid)
  returning r.*, l.why, r.n_lost + 1 >= n_lost_max as is_final),
again as (
  insert into asman.queued (qid, class, priority, seq, job_id, definition_hash, is_true_id, is_debug, is_item, namespaces, cpus, gpus,
    memory_bytes, required_seconds, max_seconds, tags, attempt, n_lost, not_before, queued_at)
  select qid, class, priority, seq, job_id, definition_hash, is_true_id, is_debug, is_item, namespaces, cpus, gpus, memory_bytes,
    required_seconds, max_seconds, tags, attempt, n_lost + 1,
    now() + make_interval(secs => power(2, n_lost) * (0.75 + random() / 2)), queued_at
  from gone where not is_final
  on conflict do nothing),
ended as (
  insert into asman.finished (qid, job_id, epoch, attempt, reason, message, worker_id, definition_hash, is_true_id, is_debug,
    is_item, class, namespaces, cpus, gpus, memory_bytes, required_seconds, max_seconds, tags, queued_at, claimed_at, result)
  select qid, job_id, epoch, attempt, 'Error', format('given up after %s lost workers: %s', n_lost + 1, why), worker_id,
    definition_hash, is_true_id, is_debug, is_item, class, namespaces, cpus, gpus, memory_bytes, required_seconds, max_seconds, tags,
    queued_at, claimed_at,
    json_build_object('isTimedOut', false, 'outputs', json_build_object(), 'error', json_build_object('statusCode', null,
      'json', json_build_object('message', format('given up after %s lost workers: %s', n_lost + 1, why))))
  from gone where is_final),
noted as (
  insert into asman.event (qid, job_id, kind, reason, worker_id, attempt, epoch, message)
  select qid, job_id, case when is_final then 'finished' else 'requeued' end, case when is_final then 'Error' else 'WorkerLost' end,
    worker_id, attempt, epoch, why
  from gone)
select qid, job_id, is_final from gone
$$;


--
-- Name: take_holds(uuid[], text[], text[]); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.take_holds(qids uuid[], namespaces text[], job_ids text[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  -- A namespace that nobody held: whoever comes second waits here and then finds the first one's job.
  insert into asman.hold (qid, namespace, job_id)
  select distinct on (s.qid, s.namespace) s.qid, s.namespace, s.job_id
  from unnest(qids, namespaces, job_ids) with ordinality as s (qid, namespace, job_id, ord)
  where s.namespace <> '_' order by s.qid, s.namespace, s.ord
  on conflict do nothing;

  perform from (select distinct s.qid, s.namespace from unnest(qids, namespaces) as s (qid, namespace) order by 1, 2) s
  cross join lateral (select from asman.hold h where h.qid = s.qid and h.namespace = s.namespace for update) l;

  with sent as materialized (
    select s.* from unnest(qids, namespaces, job_ids) with ordinality as s (qid, namespace, job_id, ord) where s.namespace <> '_'),
  newest as materialized (
    select distinct on (s.qid, s.namespace) s.qid, s.namespace, s.job_id from sent s order by s.qid, s.namespace, s.ord desc),
  older as (
    select s.qid, s.namespace, s.job_id from sent s
    union select h.qid, h.namespace, h.job_id from newest n join asman.hold h using (qid, namespace)),
  ending as (
    insert into asman.supersession (qid, job_id, namespace, due_at)
    select o.qid, o.job_id, o.namespace, now() + case
      when r.claimed_at < now() - interval '60 seconds' then interval '8 seconds'
      when r.claimed_at < now() - interval '20 seconds' then interval '4 seconds' else interval '0' end
    from older o join newest n using (qid, namespace)
    left join asman.running r on r.job_id = o.job_id and r.qid = o.qid
    where o.job_id <> n.job_id
    on conflict do nothing)
  update asman.hold h set job_id = n.job_id, since = now() from newest n
  where h.qid = n.qid and h.namespace = n.namespace and h.job_id <> n.job_id;
end $$;


--
-- Name: tell(uuid, integer); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.tell(qid uuid, kinds integer) RETURNS void
    LANGUAGE sql
    AS $$ select pg_notify('asman', 'sql:' || encode(uuid_send(qid) || set_byte('\x00', 0, kinds), 'base64')) $$;


--
-- Name: union_of(text[], text[]); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.union_of(a text[], b text[]) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (SELECT array_agg(DISTINCT u.e ORDER BY u.e) AS array_agg FROM unnest((union_of.a || union_of.b)) u(e));


--
-- Name: utf16_order(text); Type: FUNCTION; Schema: asman; Owner: -
--

CREATE FUNCTION asman.utf16_order(key text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE WHEN ((key COLLATE "C") ~ '[\uE000-\uFFFF\U0010FFFF]'::text) THEN regexp_replace((replace(key, '􏿿'::text, '􏿿'::text) COLLATE "C"), '([\uE000-\uFFFF])'::text, '􏿿\1'::text, 'g'::text) ELSE key END;


--
-- Name: demand(text); Type: FUNCTION; Schema: report; Owner: -
--

CREATE FUNCTION report.demand(queue text) RETURNS double precision
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
select coalesce((select sum(q.cpus) from asman.queued q where q.qid = asman.qid(queue)
    and (select p.is_paused from asman.queue p where p.qid = asman.qid(queue)) is not true), 0)
  + coalesce((select sum(r.cpus) from asman.running r where r.qid = asman.qid(queue)), 0)
$$;


--
-- Name: FUNCTION demand(queue text); Type: COMMENT; Schema: report; Owner: -
--

COMMENT ON FUNCTION report.demand(queue text) IS 'Cpu slots that the waiting and running jobs of a queue need; a paused queue needs none for those that wait.';


--
-- Name: depth(text); Type: FUNCTION; Schema: report; Owner: -
--

CREATE FUNCTION report.depth(queue text) RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
select (select count(*) from asman.queued q where q.qid = asman.qid(queue)) + (select count(*) from asman.running r where r.qid = asman.qid(queue))
$$;


--
-- Name: FUNCTION depth(queue text); Type: COMMENT; Schema: report; Owner: -
--

COMMENT ON FUNCTION report.depth(queue text) IS 'Jobs of a queue that wait or run.';


--
-- Name: qid(text); Type: FUNCTION; Schema: report; Owner: -
--

CREATE FUNCTION report.qid(queue text) RETURNS uuid
    LANGUAGE sql IMMUTABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$ select asman.qid(queue) $$;


--
-- Name: FUNCTION qid(queue text); Type: COMMENT; Schema: report; Owner: -
--

COMMENT ON FUNCTION report.qid(queue text) IS 'Key of a queue, as the views show it.';


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: definition; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.definition (
    hash bytea NOT NULL,
    body text NOT NULL,
    used_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT definition_hash_is_sha256 CHECK ((octet_length(hash) = 32))
);


--
-- Name: COLUMN definition.used_at; Type: COMMENT; Schema: asman; Owner: -
--

COMMENT ON COLUMN asman.definition.used_at IS 'Last day somebody submitted it; maintain() deletes what nobody can refer to any more.';


--
-- Name: epoch_seq; Type: SEQUENCE; Schema: asman; Owner: -
--

CREATE SEQUENCE asman.epoch_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: SEQUENCE epoch_seq; Type: COMMENT; Schema: asman; Owner: -
--

COMMENT ON SEQUENCE asman.epoch_seq IS 'Fence of claims: each claim of any job gets a greater number than every claim before it, so a stale worker never matches. Uncached, because the log of a job is ordered by it.';


--
-- Name: event_seq; Type: SEQUENCE; Schema: asman; Owner: -
--

CREATE SEQUENCE asman.event_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: event; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.event (
    qid uuid NOT NULL,
    seq bigint DEFAULT nextval('asman.event_seq'::regclass) NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    job_id text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL,
    reason text,
    worker_id text,
    namespace text,
    attempt smallint,
    epoch bigint,
    message text,
    CONSTRAINT event_finish_has_a_reason CHECK (((kind <> ALL (ARRAY['finished'::text, 'expired'::text])) OR (reason IS NOT NULL))),
    CONSTRAINT event_kind_is_known CHECK ((kind = ANY (ARRAY['queued'::text, 'joined'::text, 'left'::text, 'claimed'::text, 'released'::text, 'requeued'::text, 'finished'::text, 'deleted'::text, 'expired'::text, 'removed'::text])))
)
PARTITION BY RANGE (at);


--
-- Name: event_20261201; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.event_20261201 (
    qid uuid NOT NULL,
    seq bigint DEFAULT nextval('asman.event_seq'::regclass) NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    job_id text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL,
    reason text,
    worker_id text,
    namespace text,
    attempt smallint,
    epoch bigint,
    message text,
    CONSTRAINT event_finish_has_a_reason CHECK (((kind <> ALL (ARRAY['finished'::text, 'expired'::text])) OR (reason IS NOT NULL))),
    CONSTRAINT event_kind_is_known CHECK ((kind = ANY (ARRAY['queued'::text, 'joined'::text, 'left'::text, 'claimed'::text, 'released'::text, 'requeued'::text, 'finished'::text, 'deleted'::text, 'expired'::text, 'removed'::text])))
)
WITH (autovacuum_vacuum_insert_scale_factor='0.1', autovacuum_analyze_scale_factor='0.1');


--
-- Name: event_20261202; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.event_20261202 (
    qid uuid NOT NULL,
    seq bigint DEFAULT nextval('asman.event_seq'::regclass) NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    job_id text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL,
    reason text,
    worker_id text,
    namespace text,
    attempt smallint,
    epoch bigint,
    message text,
    CONSTRAINT event_finish_has_a_reason CHECK (((kind <> ALL (ARRAY['finished'::text, 'expired'::text])) OR (reason IS NOT NULL))),
    CONSTRAINT event_kind_is_known CHECK ((kind = ANY (ARRAY['queued'::text, 'joined'::text, 'left'::text, 'claimed'::text, 'released'::text, 'requeued'::text, 'finished'::text, 'deleted'::text, 'expired'::text, 'removed'::text])))
)
WITH (autovacuum_vacuum_insert_scale_factor='0.1', autovacuum_analyze_scale_factor='0.1');


--
-- Name: event_20261203; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.event_20261203 (
    qid uuid NOT NULL,
    seq bigint DEFAULT nextval('asman.event_seq'::regclass) NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    job_id text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL,
    reason text,
    worker_id text,
    namespace text,
    attempt smallint,
    epoch bigint,
    message text,
    CONSTRAINT event_finish_has_a_reason CHECK (((kind <> ALL (ARRAY['finished'::text, 'expired'::text])) OR (reason IS NOT NULL))),
    CONSTRAINT event_kind_is_known CHECK ((kind = ANY (ARRAY['queued'::text, 'joined'::text, 'left'::text, 'claimed'::text, 'released'::text, 'requeued'::text, 'finished'::text, 'deleted'::text, 'expired'::text, 'removed'::text])))
)
WITH (autovacuum_vacuum_insert_scale_factor='0.1', autovacuum_analyze_scale_factor='0.1');


--
-- Name: event_20261204; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.event_20261204 (
    qid uuid NOT NULL,
    seq bigint DEFAULT nextval('asman.event_seq'::regclass) NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    job_id text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL,
    reason text,
    worker_id text,
    namespace text,
    attempt smallint,
    epoch bigint,
    message text,
    CONSTRAINT event_finish_has_a_reason CHECK (((kind <> ALL (ARRAY['finished'::text, 'expired'::text])) OR (reason IS NOT NULL))),
    CONSTRAINT event_kind_is_known CHECK ((kind = ANY (ARRAY['queued'::text, 'joined'::text, 'left'::text, 'claimed'::text, 'released'::text, 'requeued'::text, 'finished'::text, 'deleted'::text, 'expired'::text, 'removed'::text])))
)
WITH (autovacuum_vacuum_insert_scale_factor='0.1', autovacuum_analyze_scale_factor='0.1');


--
-- Name: event_20261205; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.event_20261205 (
    qid uuid NOT NULL,
    seq bigint DEFAULT nextval('asman.event_seq'::regclass) NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    job_id text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL,
    reason text,
    worker_id text,
    namespace text,
    attempt smallint,
    epoch bigint,
    message text,
    CONSTRAINT event_finish_has_a_reason CHECK (((kind <> ALL (ARRAY['finished'::text, 'expired'::text])) OR (reason IS NOT NULL))),
    CONSTRAINT event_kind_is_known CHECK ((kind = ANY (ARRAY['queued'::text, 'joined'::text, 'left'::text, 'claimed'::text, 'released'::text, 'requeued'::text, 'finished'::text, 'deleted'::text, 'expired'::text, 'removed'::text])))
)
WITH (autovacuum_vacuum_insert_scale_factor='0.1', autovacuum_analyze_scale_factor='0.1');


--
-- Name: event_default; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.event_default (
    qid uuid NOT NULL,
    seq bigint DEFAULT nextval('asman.event_seq'::regclass) NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    job_id text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL,
    reason text,
    worker_id text,
    namespace text,
    attempt smallint,
    epoch bigint,
    message text,
    CONSTRAINT event_finish_has_a_reason CHECK (((kind <> ALL (ARRAY['finished'::text, 'expired'::text])) OR (reason IS NOT NULL))),
    CONSTRAINT event_kind_is_known CHECK ((kind = ANY (ARRAY['queued'::text, 'joined'::text, 'left'::text, 'claimed'::text, 'released'::text, 'requeued'::text, 'finished'::text, 'deleted'::text, 'expired'::text, 'removed'::text])))
);


--
-- Name: finished; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.finished (
    qid uuid NOT NULL,
    job_id text NOT NULL COLLATE pg_catalog."C",
    epoch bigint NOT NULL,
    attempt smallint NOT NULL,
    reason text NOT NULL,
    message text,
    namespace text,
    worker_id text,
    definition_hash bytea NOT NULL,
    is_true_id boolean NOT NULL,
    is_debug boolean NOT NULL,
    namespaces text[] NOT NULL,
    cpus double precision NOT NULL,
    gpus integer NOT NULL,
    memory_bytes bigint NOT NULL,
    tags text[] NOT NULL,
    queued_at timestamp with time zone NOT NULL,
    claimed_at timestamp with time zone,
    finished_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    status_code bigint,
    duration_ms double precision,
    result json,
    is_item boolean DEFAULT false NOT NULL,
    class bigint DEFAULT 0 NOT NULL,
    required_seconds integer DEFAULT 0 NOT NULL,
    max_seconds integer DEFAULT 0 NOT NULL,
    CONSTRAINT finished_deleted_is_empty CHECK (((reason <> 'Deleted'::text) OR (result IS NULL))),
    CONSTRAINT finished_reason_is_known CHECK ((reason = ANY (ARRAY['Success'::text, 'Error'::text, 'TimedOut'::text, 'Cancelled'::text, 'WorkerLost'::text, 'JobReplacedByClient'::text, 'Deleted'::text]))),
    CONSTRAINT finished_success_was_claimed CHECK (((reason <> 'Success'::text) OR ((claimed_at IS NOT NULL) AND (epoch > 0))))
)
PARTITION BY RANGE (finished_at);


--
-- Name: COLUMN finished.epoch; Type: COMMENT; Schema: asman; Owner: -
--

COMMENT ON COLUMN asman.finished.epoch IS 'Epoch of the claim that ended it; 0 when it never ran.';


--
-- Name: COLUMN finished.namespace; Type: COMMENT; Schema: asman; Owner: -
--

COMMENT ON COLUMN asman.finished.namespace IS 'The namespace that let go last, when a cancel ended it.';


--
-- Name: COLUMN finished.result; Type: COMMENT; Schema: asman; Owner: -
--

COMMENT ON COLUMN asman.finished.result IS 'Outputs and error as the worker sent them; log lines are in log_chunk.';


--
-- Name: finished_20261130; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.finished_20261130 (
    qid uuid NOT NULL,
    job_id text NOT NULL COLLATE pg_catalog."C",
    epoch bigint NOT NULL,
    attempt smallint NOT NULL,
    reason text NOT NULL,
    message text,
    namespace text,
    worker_id text,
    definition_hash bytea NOT NULL,
    is_true_id boolean NOT NULL,
    is_debug boolean NOT NULL,
    namespaces text[] NOT NULL,
    cpus double precision NOT NULL,
    gpus integer NOT NULL,
    memory_bytes bigint NOT NULL,
    tags text[] NOT NULL,
    queued_at timestamp with time zone NOT NULL,
    claimed_at timestamp with time zone,
    finished_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    status_code bigint,
    duration_ms double precision,
    result json,
    is_item boolean DEFAULT false NOT NULL,
    class bigint DEFAULT 0 NOT NULL,
    required_seconds integer DEFAULT 0 NOT NULL,
    max_seconds integer DEFAULT 0 NOT NULL,
    CONSTRAINT finished_deleted_is_empty CHECK (((reason <> 'Deleted'::text) OR (result IS NULL))),
    CONSTRAINT finished_reason_is_known CHECK ((reason = ANY (ARRAY['Success'::text, 'Error'::text, 'TimedOut'::text, 'Cancelled'::text, 'WorkerLost'::text, 'JobReplacedByClient'::text, 'Deleted'::text]))),
    CONSTRAINT finished_success_was_claimed CHECK (((reason <> 'Success'::text) OR ((claimed_at IS NOT NULL) AND (epoch > 0))))
)
WITH (autovacuum_vacuum_insert_scale_factor='0.1', autovacuum_analyze_scale_factor='0.1');


--
-- Name: finished_20261207; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.finished_20261207 (
    qid uuid NOT NULL,
    job_id text NOT NULL COLLATE pg_catalog."C",
    epoch bigint NOT NULL,
    attempt smallint NOT NULL,
    reason text NOT NULL,
    message text,
    namespace text,
    worker_id text,
    definition_hash bytea NOT NULL,
    is_true_id boolean NOT NULL,
    is_debug boolean NOT NULL,
    namespaces text[] NOT NULL,
    cpus double precision NOT NULL,
    gpus integer NOT NULL,
    memory_bytes bigint NOT NULL,
    tags text[] NOT NULL,
    queued_at timestamp with time zone NOT NULL,
    claimed_at timestamp with time zone,
    finished_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    status_code bigint,
    duration_ms double precision,
    result json,
    is_item boolean DEFAULT false NOT NULL,
    class bigint DEFAULT 0 NOT NULL,
    required_seconds integer DEFAULT 0 NOT NULL,
    max_seconds integer DEFAULT 0 NOT NULL,
    CONSTRAINT finished_deleted_is_empty CHECK (((reason <> 'Deleted'::text) OR (result IS NULL))),
    CONSTRAINT finished_reason_is_known CHECK ((reason = ANY (ARRAY['Success'::text, 'Error'::text, 'TimedOut'::text, 'Cancelled'::text, 'WorkerLost'::text, 'JobReplacedByClient'::text, 'Deleted'::text]))),
    CONSTRAINT finished_success_was_claimed CHECK (((reason <> 'Success'::text) OR ((claimed_at IS NOT NULL) AND (epoch > 0))))
)
WITH (autovacuum_vacuum_insert_scale_factor='0.1', autovacuum_analyze_scale_factor='0.1');


--
-- Name: finished_20261214; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.finished_20261214 (
    qid uuid NOT NULL,
    job_id text NOT NULL COLLATE pg_catalog."C",
    epoch bigint NOT NULL,
    attempt smallint NOT NULL,
    reason text NOT NULL,
    message text,
    namespace text,
    worker_id text,
    definition_hash bytea NOT NULL,
    is_true_id boolean NOT NULL,
    is_debug boolean NOT NULL,
    namespaces text[] NOT NULL,
    cpus double precision NOT NULL,
    gpus integer NOT NULL,
    memory_bytes bigint NOT NULL,
    tags text[] NOT NULL,
    queued_at timestamp with time zone NOT NULL,
    claimed_at timestamp with time zone,
    finished_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    status_code bigint,
    duration_ms double precision,
    result json,
    is_item boolean DEFAULT false NOT NULL,
    class bigint DEFAULT 0 NOT NULL,
    required_seconds integer DEFAULT 0 NOT NULL,
    max_seconds integer DEFAULT 0 NOT NULL,
    CONSTRAINT finished_deleted_is_empty CHECK (((reason <> 'Deleted'::text) OR (result IS NULL))),
    CONSTRAINT finished_reason_is_known CHECK ((reason = ANY (ARRAY['Success'::text, 'Error'::text, 'TimedOut'::text, 'Cancelled'::text, 'WorkerLost'::text, 'JobReplacedByClient'::text, 'Deleted'::text]))),
    CONSTRAINT finished_success_was_claimed CHECK (((reason <> 'Success'::text) OR ((claimed_at IS NOT NULL) AND (epoch > 0))))
)
WITH (autovacuum_vacuum_insert_scale_factor='0.1', autovacuum_analyze_scale_factor='0.1');


--
-- Name: finished_20261221; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.finished_20261221 (
    qid uuid NOT NULL,
    job_id text NOT NULL COLLATE pg_catalog."C",
    epoch bigint NOT NULL,
    attempt smallint NOT NULL,
    reason text NOT NULL,
    message text,
    namespace text,
    worker_id text,
    definition_hash bytea NOT NULL,
    is_true_id boolean NOT NULL,
    is_debug boolean NOT NULL,
    namespaces text[] NOT NULL,
    cpus double precision NOT NULL,
    gpus integer NOT NULL,
    memory_bytes bigint NOT NULL,
    tags text[] NOT NULL,
    queued_at timestamp with time zone NOT NULL,
    claimed_at timestamp with time zone,
    finished_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    status_code bigint,
    duration_ms double precision,
    result json,
    is_item boolean DEFAULT false NOT NULL,
    class bigint DEFAULT 0 NOT NULL,
    required_seconds integer DEFAULT 0 NOT NULL,
    max_seconds integer DEFAULT 0 NOT NULL,
    CONSTRAINT finished_deleted_is_empty CHECK (((reason <> 'Deleted'::text) OR (result IS NULL))),
    CONSTRAINT finished_reason_is_known CHECK ((reason = ANY (ARRAY['Success'::text, 'Error'::text, 'TimedOut'::text, 'Cancelled'::text, 'WorkerLost'::text, 'JobReplacedByClient'::text, 'Deleted'::text]))),
    CONSTRAINT finished_success_was_claimed CHECK (((reason <> 'Success'::text) OR ((claimed_at IS NOT NULL) AND (epoch > 0))))
)
WITH (autovacuum_vacuum_insert_scale_factor='0.1', autovacuum_analyze_scale_factor='0.1');


--
-- Name: finished_20261228; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.finished_20261228 (
    qid uuid NOT NULL,
    job_id text NOT NULL COLLATE pg_catalog."C",
    epoch bigint NOT NULL,
    attempt smallint NOT NULL,
    reason text NOT NULL,
    message text,
    namespace text,
    worker_id text,
    definition_hash bytea NOT NULL,
    is_true_id boolean NOT NULL,
    is_debug boolean NOT NULL,
    namespaces text[] NOT NULL,
    cpus double precision NOT NULL,
    gpus integer NOT NULL,
    memory_bytes bigint NOT NULL,
    tags text[] NOT NULL,
    queued_at timestamp with time zone NOT NULL,
    claimed_at timestamp with time zone,
    finished_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    status_code bigint,
    duration_ms double precision,
    result json,
    is_item boolean DEFAULT false NOT NULL,
    class bigint DEFAULT 0 NOT NULL,
    required_seconds integer DEFAULT 0 NOT NULL,
    max_seconds integer DEFAULT 0 NOT NULL,
    CONSTRAINT finished_deleted_is_empty CHECK (((reason <> 'Deleted'::text) OR (result IS NULL))),
    CONSTRAINT finished_reason_is_known CHECK ((reason = ANY (ARRAY['Success'::text, 'Error'::text, 'TimedOut'::text, 'Cancelled'::text, 'WorkerLost'::text, 'JobReplacedByClient'::text, 'Deleted'::text]))),
    CONSTRAINT finished_success_was_claimed CHECK (((reason <> 'Success'::text) OR ((claimed_at IS NOT NULL) AND (epoch > 0))))
)
WITH (autovacuum_vacuum_insert_scale_factor='0.1', autovacuum_analyze_scale_factor='0.1');


--
-- Name: finished_default; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.finished_default (
    qid uuid NOT NULL,
    job_id text NOT NULL COLLATE pg_catalog."C",
    epoch bigint NOT NULL,
    attempt smallint NOT NULL,
    reason text NOT NULL,
    message text,
    namespace text,
    worker_id text,
    definition_hash bytea NOT NULL,
    is_true_id boolean NOT NULL,
    is_debug boolean NOT NULL,
    namespaces text[] NOT NULL,
    cpus double precision NOT NULL,
    gpus integer NOT NULL,
    memory_bytes bigint NOT NULL,
    tags text[] NOT NULL,
    queued_at timestamp with time zone NOT NULL,
    claimed_at timestamp with time zone,
    finished_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    status_code bigint,
    duration_ms double precision,
    result json,
    is_item boolean DEFAULT false NOT NULL,
    class bigint DEFAULT 0 NOT NULL,
    required_seconds integer DEFAULT 0 NOT NULL,
    max_seconds integer DEFAULT 0 NOT NULL,
    CONSTRAINT finished_deleted_is_empty CHECK (((reason <> 'Deleted'::text) OR (result IS NULL))),
    CONSTRAINT finished_reason_is_known CHECK ((reason = ANY (ARRAY['Success'::text, 'Error'::text, 'TimedOut'::text, 'Cancelled'::text, 'WorkerLost'::text, 'JobReplacedByClient'::text, 'Deleted'::text]))),
    CONSTRAINT finished_success_was_claimed CHECK (((reason <> 'Success'::text) OR ((claimed_at IS NOT NULL) AND (epoch > 0))))
);


--
-- Name: hold; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.hold (
    qid uuid NOT NULL,
    namespace text NOT NULL,
    job_id text NOT NULL COLLATE pg_catalog."C",
    since timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT hold_is_not_shared CHECK ((namespace <> ALL (ARRAY['_'::text, '*'::text])))
)
WITH (fillfactor='70');


--
-- Name: log_chunk; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.log_chunk (
    qid uuid NOT NULL,
    job_id text NOT NULL COLLATE pg_catalog."C",
    epoch bigint NOT NULL,
    seq integer NOT NULL,
    step text NOT NULL,
    n_lines integer NOT NULL,
    lines json NOT NULL,
    build_lines_after bigint NOT NULL,
    run_lines_after bigint NOT NULL,
    bytes_after bigint NOT NULL,
    claimed_at timestamp with time zone NOT NULL,
    CONSTRAINT log_chunk_has_lines CHECK (((n_lines >= 1) AND (seq >= 0))),
    CONSTRAINT log_chunk_step_is_known CHECK ((step = ANY (ARRAY['docker image pull'::text, 'cloning repo'::text, 'docker build'::text, 'Running'::text, 'docker image push'::text])))
)
PARTITION BY RANGE (claimed_at);


--
-- Name: COLUMN log_chunk.run_lines_after; Type: COMMENT; Schema: asman; Owner: -
--

COMMENT ON COLUMN asman.log_chunk.run_lines_after IS 'Lines of the job''s run log up to and with this chunk, over all attempts: a cursor finds its chunk without counting.';


--
-- Name: log_chunk_20261201; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.log_chunk_20261201 (
    qid uuid NOT NULL,
    job_id text NOT NULL COLLATE pg_catalog."C",
    epoch bigint NOT NULL,
    seq integer NOT NULL,
    step text NOT NULL,
    n_lines integer NOT NULL,
    lines json NOT NULL,
    build_lines_after bigint NOT NULL,
    run_lines_after bigint NOT NULL,
    bytes_after bigint NOT NULL,
    claimed_at timestamp with time zone NOT NULL,
    CONSTRAINT log_chunk_has_lines CHECK (((n_lines >= 1) AND (seq >= 0))),
    CONSTRAINT log_chunk_step_is_known CHECK ((step = ANY (ARRAY['docker image pull'::text, 'cloning repo'::text, 'docker build'::text, 'Running'::text, 'docker image push'::text])))
)
WITH (autovacuum_vacuum_insert_scale_factor='0.1', autovacuum_analyze_scale_factor='0.1');


--
-- Name: log_chunk_20261202; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.log_chunk_20261202 (
    qid uuid NOT NULL,
    job_id text NOT NULL COLLATE pg_catalog."C",
    epoch bigint NOT NULL,
    seq integer NOT NULL,
    step text NOT NULL,
    n_lines integer NOT NULL,
    lines json NOT NULL,
    build_lines_after bigint NOT NULL,
    run_lines_after bigint NOT NULL,
    bytes_after bigint NOT NULL,
    claimed_at timestamp with time zone NOT NULL,
    CONSTRAINT log_chunk_has_lines CHECK (((n_lines >= 1) AND (seq >= 0))),
    CONSTRAINT log_chunk_step_is_known CHECK ((step = ANY (ARRAY['docker image pull'::text, 'cloning repo'::text, 'docker build'::text, 'Running'::text, 'docker image push'::text])))
)
WITH (autovacuum_vacuum_insert_scale_factor='0.1', autovacuum_analyze_scale_factor='0.1');


--
-- Name: log_chunk_20261203; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.log_chunk_20261203 (
    qid uuid NOT NULL,
    job_id text NOT NULL COLLATE pg_catalog."C",
    epoch bigint NOT NULL,
    seq integer NOT NULL,
    step text NOT NULL,
    n_lines integer NOT NULL,
    lines json NOT NULL,
    build_lines_after bigint NOT NULL,
    run_lines_after bigint NOT NULL,
    bytes_after bigint NOT NULL,
    claimed_at timestamp with time zone NOT NULL,
    CONSTRAINT log_chunk_has_lines CHECK (((n_lines >= 1) AND (seq >= 0))),
    CONSTRAINT log_chunk_step_is_known CHECK ((step = ANY (ARRAY['docker image pull'::text, 'cloning repo'::text, 'docker build'::text, 'Running'::text, 'docker image push'::text])))
)
WITH (autovacuum_vacuum_insert_scale_factor='0.1', autovacuum_analyze_scale_factor='0.1');


--
-- Name: log_chunk_20261204; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.log_chunk_20261204 (
    qid uuid NOT NULL,
    job_id text NOT NULL COLLATE pg_catalog."C",
    epoch bigint NOT NULL,
    seq integer NOT NULL,
    step text NOT NULL,
    n_lines integer NOT NULL,
    lines json NOT NULL,
    build_lines_after bigint NOT NULL,
    run_lines_after bigint NOT NULL,
    bytes_after bigint NOT NULL,
    claimed_at timestamp with time zone NOT NULL,
    CONSTRAINT log_chunk_has_lines CHECK (((n_lines >= 1) AND (seq >= 0))),
    CONSTRAINT log_chunk_step_is_known CHECK ((step = ANY (ARRAY['docker image pull'::text, 'cloning repo'::text, 'docker build'::text, 'Running'::text, 'docker image push'::text])))
)
WITH (autovacuum_vacuum_insert_scale_factor='0.1', autovacuum_analyze_scale_factor='0.1');


--
-- Name: log_chunk_20261205; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.log_chunk_20261205 (
    qid uuid NOT NULL,
    job_id text NOT NULL COLLATE pg_catalog."C",
    epoch bigint NOT NULL,
    seq integer NOT NULL,
    step text NOT NULL,
    n_lines integer NOT NULL,
    lines json NOT NULL,
    build_lines_after bigint NOT NULL,
    run_lines_after bigint NOT NULL,
    bytes_after bigint NOT NULL,
    claimed_at timestamp with time zone NOT NULL,
    CONSTRAINT log_chunk_has_lines CHECK (((n_lines >= 1) AND (seq >= 0))),
    CONSTRAINT log_chunk_step_is_known CHECK ((step = ANY (ARRAY['docker image pull'::text, 'cloning repo'::text, 'docker build'::text, 'Running'::text, 'docker image push'::text])))
)
WITH (autovacuum_vacuum_insert_scale_factor='0.1', autovacuum_analyze_scale_factor='0.1');


--
-- Name: log_chunk_default; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.log_chunk_default (
    qid uuid NOT NULL,
    job_id text NOT NULL COLLATE pg_catalog."C",
    epoch bigint NOT NULL,
    seq integer NOT NULL,
    step text NOT NULL,
    n_lines integer NOT NULL,
    lines json NOT NULL,
    build_lines_after bigint NOT NULL,
    run_lines_after bigint NOT NULL,
    bytes_after bigint NOT NULL,
    claimed_at timestamp with time zone NOT NULL,
    CONSTRAINT log_chunk_has_lines CHECK (((n_lines >= 1) AND (seq >= 0))),
    CONSTRAINT log_chunk_step_is_known CHECK ((step = ANY (ARRAY['docker image pull'::text, 'cloning repo'::text, 'docker build'::text, 'Running'::text, 'docker image push'::text])))
);


--
-- Name: login; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.login (
    hash bytea NOT NULL,
    login text NOT NULL,
    used_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT login_hash_is_sha256 CHECK ((octet_length(hash) = 32))
);


--
-- Name: TABLE login; Type: COMMENT; Schema: asman; Owner: -
--

COMMENT ON TABLE asman.login IS 'What stands before the @ in the URL of a definition''s build context: for the worker that has claimed the job. Grant it to nobody.';


--
-- Name: COLUMN login.used_at; Type: COMMENT; Schema: asman; Owner: -
--

COMMENT ON COLUMN asman.login.used_at IS 'Last time somebody submitted it; maintain() deletes what has no definition any more.';


--
-- Name: migration; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.migration (
    version integer NOT NULL,
    name character varying(255),
    applied_on character varying(255),
    checksum character varying(255)
);


--
-- Name: queue; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.queue (
    qid uuid NOT NULL,
    is_paused boolean DEFAULT false NOT NULL,
    owner_token_hash bytea,
    worker_token_hash bytea,
    submit_token_hash bytea,
    read_token_hash bytea,
    webhook_secret text,
    n_queued_max integer,
    n_namespace_max integer,
    max_seconds integer,
    retention_days integer,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT queue_limits_are_positive CHECK (((n_queued_max > 0) AND (n_namespace_max > 0) AND (max_seconds > 0) AND (retention_days > 0)))
);


--
-- Name: queued_seq; Type: SEQUENCE; Schema: asman; Owner: -
--

CREATE SEQUENCE asman.queued_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: queued; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.queued (
    qid uuid NOT NULL,
    class bigint NOT NULL,
    priority smallint DEFAULT 0 NOT NULL,
    seq bigint DEFAULT nextval('asman.queued_seq'::regclass) NOT NULL,
    job_id text NOT NULL COLLATE pg_catalog."C",
    definition_hash bytea NOT NULL,
    is_true_id boolean NOT NULL,
    is_debug boolean DEFAULT false NOT NULL,
    namespaces text[] NOT NULL,
    cpus double precision NOT NULL,
    gpus integer NOT NULL,
    memory_bytes bigint NOT NULL,
    required_seconds integer NOT NULL,
    max_seconds integer NOT NULL,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    attempt smallint DEFAULT 0 NOT NULL,
    n_lost smallint DEFAULT 0 NOT NULL,
    not_before timestamp with time zone,
    queued_at timestamp with time zone DEFAULT now() NOT NULL,
    is_item boolean DEFAULT false NOT NULL,
    CONSTRAINT queued_job_id_length CHECK ((((length(job_id) >= 1) AND (length(job_id) <= 255)) OR (is_item AND (length(job_id) <= 1024)))),
    CONSTRAINT queued_namespaces_are_bounded CHECK (((cardinality(namespaces) >= 1) AND (cardinality(namespaces) <= 1000))),
    CONSTRAINT queued_needs_are_sane CHECK (((cpus >= (0)::double precision) AND (gpus >= 0) AND (memory_bytes >= 0) AND (max_seconds >= 0)))
)
WITH (fillfactor='100', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='5000', autovacuum_vacuum_cost_delay='0', vacuum_truncate=off);


--
-- Name: COLUMN queued.priority; Type: COMMENT; Schema: asman; Owner: -
--

COMMENT ON COLUMN asman.queued.priority IS 'Lower runs first; then the order of submission.';


--
-- Name: COLUMN queued.is_true_id; Type: COMMENT; Schema: asman; Owner: -
--

COMMENT ON COLUMN asman.queued.is_true_id IS 'Whether job_id is the hash of the definition, so that it may be found without its queue.';


--
-- Name: COLUMN queued.required_seconds; Type: COMMENT; Schema: asman; Owner: -
--

COMMENT ON COLUMN asman.queued.required_seconds IS 'A worker that allows shorter runs is not offered the job.';


--
-- Name: COLUMN queued.max_seconds; Type: COMMENT; Schema: asman; Owner: -
--

COMMENT ON COLUMN asman.queued.max_seconds IS 'Longest run that definition and submitter allow.';


--
-- Name: COLUMN queued.n_lost; Type: COMMENT; Schema: asman; Owner: -
--

COMMENT ON COLUMN asman.queued.n_lost IS 'Workers lost while they ran it; the third ends it.';


--
-- Name: COLUMN queued.is_item; Type: COMMENT; Schema: asman; Owner: -
--

COMMENT ON COLUMN asman.queued.is_item IS 'An item of the task-queue API that is no container job: workers that run containers are not offered it.';


--
-- Name: running; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.running (
    qid uuid NOT NULL,
    job_id text NOT NULL COLLATE pg_catalog."C",
    epoch bigint NOT NULL,
    worker_id text NOT NULL,
    attempt smallint NOT NULL,
    claimed_at timestamp with time zone DEFAULT now() NOT NULL,
    deadline timestamp with time zone NOT NULL,
    class bigint NOT NULL,
    priority smallint NOT NULL,
    seq bigint NOT NULL,
    definition_hash bytea NOT NULL,
    is_true_id boolean NOT NULL,
    is_debug boolean NOT NULL,
    namespaces text[] NOT NULL,
    cpus double precision NOT NULL,
    gpus integer NOT NULL,
    memory_bytes bigint NOT NULL,
    required_seconds integer NOT NULL,
    max_seconds integer NOT NULL,
    tags text[] NOT NULL,
    n_lost smallint NOT NULL,
    queued_at timestamp with time zone NOT NULL,
    is_item boolean DEFAULT false NOT NULL,
    by_deadline boolean DEFAULT false NOT NULL,
    CONSTRAINT running_attempt_is_counted CHECK ((attempt >= 1)),
    CONSTRAINT running_namespaces_are_bounded CHECK (((cardinality(namespaces) >= 1) AND (cardinality(namespaces) <= 1000)))
)
WITH (fillfactor='100', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='5000', autovacuum_vacuum_cost_delay='0', vacuum_truncate=off);


--
-- Name: COLUMN running.deadline; Type: COMMENT; Schema: asman; Owner: -
--

COMMENT ON COLUMN asman.running.deadline IS 'After this moment the job is taken back even from a worker that lives.';


--
-- Name: COLUMN running.by_deadline; Type: COMMENT; Schema: asman; Owner: -
--

COMMENT ON COLUMN asman.running.by_deadline IS 'The claim lives until its deadline, infinity included, whether or not a worker of its name sends heartbeats.';


--
-- Name: supersession; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.supersession (
    qid uuid NOT NULL,
    job_id text NOT NULL COLLATE pg_catalog."C",
    namespace text NOT NULL,
    due_at timestamp with time zone NOT NULL
);


--
-- Name: webhook; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.webhook (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    qid uuid NOT NULL,
    job_id text NOT NULL COLLATE pg_catalog."C",
    queue text NOT NULL,
    namespace text NOT NULL,
    kind text NOT NULL,
    url text NOT NULL,
    host text GENERATED ALWAYS AS ("left"("substring"(url, '^[^:]+://(\[[^]]*\]|[^/:?#]*)'::text), 255)) STORED NOT NULL COLLATE pg_catalog."C",
    payload json,
    armed_at timestamp with time zone DEFAULT now() NOT NULL,
    due_at timestamp with time zone,
    expires_at timestamp with time zone,
    reason text,
    status_code bigint,
    n_attempts integer DEFAULT 0 NOT NULL,
    last_error text,
    CONSTRAINT webhook_due_expires CHECK (((due_at IS NULL) = (expires_at IS NULL))),
    CONSTRAINT webhook_error_follows_a_try CHECK (((last_error IS NULL) OR (n_attempts > 0))),
    CONSTRAINT webhook_finished_has_a_reason CHECK (((kind <> 'finished'::text) OR (due_at IS NULL) OR (reason IS NOT NULL))),
    CONSTRAINT webhook_kind_is_known CHECK ((kind = ANY (ARRAY['queued'::text, 'finished'::text]))),
    CONSTRAINT webhook_queued_is_due CHECK (((kind <> 'queued'::text) OR (due_at IS NOT NULL)))
)
WITH (fillfactor='100', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='5000', autovacuum_vacuum_cost_delay='0', vacuum_truncate=off);


--
-- Name: COLUMN webhook.id; Type: COMMENT; Schema: asman; Owner: -
--

COMMENT ON COLUMN asman.webhook.id IS 'The delivery''s name on the wire, the same at every try.';


--
-- Name: COLUMN webhook.queue; Type: COMMENT; Schema: asman; Owner: -
--

COMMENT ON COLUMN asman.webhook.queue IS 'The one place that keeps a queue''s name: the delivery has to say it.';


--
-- Name: COLUMN webhook.host; Type: COMMENT; Schema: asman; Owner: -
--

COMMENT ON COLUMN asman.webhook.host IS 'Whose turn it is. URLs are stored in their canonical form.';


--
-- Name: COLUMN webhook.due_at; Type: COMMENT; Schema: asman; Owner: -
--

COMMENT ON COLUMN asman.webhook.due_at IS 'Next try; null while the job has not ended.';


--
-- Name: worker; Type: TABLE; Schema: asman; Owner: -
--

CREATE TABLE asman.worker (
    qid uuid NOT NULL,
    worker_id text NOT NULL,
    version text NOT NULL,
    executor text NOT NULL,
    cpus double precision NOT NULL,
    gpus integer NOT NULL,
    memory_bytes bigint NOT NULL,
    max_seconds integer NOT NULL,
    tags text[] NOT NULL,
    registered_at timestamp with time zone DEFAULT now() NOT NULL,
    last_seen timestamp with time zone DEFAULT now() NOT NULL
)
WITH (fillfactor='50');


--
-- Name: outcomes_per_day; Type: VIEW; Schema: report; Owner: -
--

CREATE VIEW report.outcomes_per_day AS
 SELECT date_trunc('day'::text, finished.finished_at) AS day,
    finished.reason,
    (COALESCE(finished.status_code, (0)::bigint) <> 0) AS is_program_failure,
    count(*) AS n_jobs,
    (avg(finished.duration_ms) / (1000)::double precision) AS mean_seconds,
    count(*) FILTER (WHERE (finished.attempt > 1)) AS n_retried
   FROM asman.finished
  GROUP BY (date_trunc('day'::text, finished.finished_at)), finished.reason, (COALESCE(finished.status_code, (0)::bigint) <> 0);


--
-- Name: VIEW outcomes_per_day; Type: COMMENT; Schema: report; Owner: -
--

COMMENT ON VIEW report.outcomes_per_day IS 'How jobs ended, by day and reason, all queues. is_program_failure: the job ran and its program exited with another code than 0.';


--
-- Name: queue_depth; Type: VIEW; Schema: report; Owner: -
--

CREATE VIEW report.queue_depth AS
 SELECT COALESCE(q.qid, r.qid) AS qid,
    COALESCE(q.n_queued, (0)::bigint) AS n_queued,
    COALESCE(r.n_running, (0)::bigint) AS n_running,
    q.oldest_queued_at,
    (COALESCE(q.cpus, (0)::double precision) + COALESCE(r.cpus, (0)::double precision)) AS cpus_wanted,
    (COALESCE(q.gpus, (0)::bigint) + COALESCE(r.gpus, (0)::bigint)) AS gpus_wanted
   FROM (( SELECT queued.qid,
            count(*) AS n_queued,
            min(queued.queued_at) AS oldest_queued_at,
            sum(queued.cpus) AS cpus,
            sum(queued.gpus) AS gpus
           FROM asman.queued
          GROUP BY queued.qid) q
     FULL JOIN ( SELECT running.qid,
            count(*) AS n_running,
            sum(running.cpus) AS cpus,
            sum(running.gpus) AS gpus
           FROM asman.running
          GROUP BY running.qid) r USING (qid));


--
-- Name: VIEW queue_depth; Type: COMMENT; Schema: report; Owner: -
--

COMMENT ON VIEW report.queue_depth IS 'Jobs waiting and running, by queue, with the cpus and gpus they need. One queue: where qid = report.qid(''name'').';


--
-- Name: throughput; Type: VIEW; Schema: report; Owner: -
--

CREATE VIEW report.throughput AS
 SELECT date_trunc('minute'::text, finished.finished_at) AS minute,
    count(*) AS n_finished,
    count(*) FILTER (WHERE (finished.reason = 'Success'::text)) AS n_success
   FROM asman.finished
  WHERE (finished.finished_at > (now() - '01:00:00'::interval))
  GROUP BY (date_trunc('minute'::text, finished.finished_at));


--
-- Name: VIEW throughput; Type: COMMENT; Schema: report; Owner: -
--

COMMENT ON VIEW report.throughput IS 'Jobs finished per minute in the last hour, all queues.';


--
-- Name: waiting_time; Type: VIEW; Schema: report; Owner: -
--

CREATE VIEW report.waiting_time AS
 SELECT finished.qid,
    date_trunc('day'::text, finished.finished_at) AS day,
    count(*) AS n_jobs,
    percentile_cont((0.5)::double precision) WITHIN GROUP (ORDER BY ((EXTRACT(epoch FROM (finished.claimed_at - finished.queued_at)))::double precision)) AS p50_seconds,
    percentile_cont((0.95)::double precision) WITHIN GROUP (ORDER BY ((EXTRACT(epoch FROM (finished.claimed_at - finished.queued_at)))::double precision)) AS p95_seconds,
    max(EXTRACT(epoch FROM (finished.claimed_at - finished.queued_at))) AS max_seconds
   FROM asman.finished
  WHERE ((finished.claimed_at IS NOT NULL) AND (finished.finished_at > (now() - '7 days'::interval)))
  GROUP BY finished.qid, (date_trunc('day'::text, finished.finished_at));


--
-- Name: VIEW waiting_time; Type: COMMENT; Schema: report; Owner: -
--

COMMENT ON VIEW report.waiting_time IS 'How long jobs waited for their last claim, by queue and day of the last week: median, 95th percentile, longest.';


--
-- Name: worker_load; Type: VIEW; Schema: report; Owner: -
--

CREATE VIEW report.worker_load AS
SELECT
    NULL::uuid AS qid,
    NULL::text AS worker_id,
    NULL::text AS version,
    NULL::double precision AS cpus,
    NULL::integer AS gpus,
    NULL::timestamp with time zone AS last_seen,
    NULL::boolean AS is_alive,
    NULL::bigint AS n_running,
    NULL::double precision AS cpus_used,
    NULL::bigint AS gpus_used;


--
-- Name: VIEW worker_load; Type: COMMENT; Schema: report; Owner: -
--

COMMENT ON VIEW report.worker_load IS 'What each worker offers, whether it was seen in the last 30 seconds, and what runs on it now.';


--
-- Name: event_20261201; Type: TABLE ATTACH; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.event ATTACH PARTITION asman.event_20261201 FOR VALUES FROM ('2026-12-01 00:00:00+00') TO ('2026-12-02 00:00:00+00');


--
-- Name: event_20261202; Type: TABLE ATTACH; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.event ATTACH PARTITION asman.event_20261202 FOR VALUES FROM ('2026-12-02 00:00:00+00') TO ('2026-12-03 00:00:00+00');


--
-- Name: event_20261203; Type: TABLE ATTACH; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.event ATTACH PARTITION asman.event_20261203 FOR VALUES FROM ('2026-12-03 00:00:00+00') TO ('2026-12-04 00:00:00+00');


--
-- Name: event_20261204; Type: TABLE ATTACH; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.event ATTACH PARTITION asman.event_20261204 FOR VALUES FROM ('2026-12-04 00:00:00+00') TO ('2026-12-05 00:00:00+00');


--
-- Name: event_20261205; Type: TABLE ATTACH; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.event ATTACH PARTITION asman.event_20261205 FOR VALUES FROM ('2026-12-05 00:00:00+00') TO ('2026-12-06 00:00:00+00');


--
-- Name: event_default; Type: TABLE ATTACH; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.event ATTACH PARTITION asman.event_default DEFAULT;


--
-- Name: finished_20261130; Type: TABLE ATTACH; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.finished ATTACH PARTITION asman.finished_20261130 FOR VALUES FROM ('2026-11-30 00:00:00+00') TO ('2026-12-07 00:00:00+00');


--
-- Name: finished_20261207; Type: TABLE ATTACH; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.finished ATTACH PARTITION asman.finished_20261207 FOR VALUES FROM ('2026-12-07 00:00:00+00') TO ('2026-12-14 00:00:00+00');


--
-- Name: finished_20261214; Type: TABLE ATTACH; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.finished ATTACH PARTITION asman.finished_20261214 FOR VALUES FROM ('2026-12-14 00:00:00+00') TO ('2026-12-21 00:00:00+00');


--
-- Name: finished_20261221; Type: TABLE ATTACH; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.finished ATTACH PARTITION asman.finished_20261221 FOR VALUES FROM ('2026-12-21 00:00:00+00') TO ('2026-12-28 00:00:00+00');


--
-- Name: finished_20261228; Type: TABLE ATTACH; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.finished ATTACH PARTITION asman.finished_20261228 FOR VALUES FROM ('2026-12-28 00:00:00+00') TO ('2027-01-04 00:00:00+00');


--
-- Name: finished_default; Type: TABLE ATTACH; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.finished ATTACH PARTITION asman.finished_default DEFAULT;


--
-- Name: log_chunk_20261201; Type: TABLE ATTACH; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.log_chunk ATTACH PARTITION asman.log_chunk_20261201 FOR VALUES FROM ('2026-12-01 00:00:00+00') TO ('2026-12-02 00:00:00+00');


--
-- Name: log_chunk_20261202; Type: TABLE ATTACH; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.log_chunk ATTACH PARTITION asman.log_chunk_20261202 FOR VALUES FROM ('2026-12-02 00:00:00+00') TO ('2026-12-03 00:00:00+00');


--
-- Name: log_chunk_20261203; Type: TABLE ATTACH; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.log_chunk ATTACH PARTITION asman.log_chunk_20261203 FOR VALUES FROM ('2026-12-03 00:00:00+00') TO ('2026-12-04 00:00:00+00');


--
-- Name: log_chunk_20261204; Type: TABLE ATTACH; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.log_chunk ATTACH PARTITION asman.log_chunk_20261204 FOR VALUES FROM ('2026-12-04 00:00:00+00') TO ('2026-12-05 00:00:00+00');


--
-- Name: log_chunk_20261205; Type: TABLE ATTACH; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.log_chunk ATTACH PARTITION asman.log_chunk_20261205 FOR VALUES FROM ('2026-12-05 00:00:00+00') TO ('2026-12-06 00:00:00+00');


--
-- Name: log_chunk_default; Type: TABLE ATTACH; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.log_chunk ATTACH PARTITION asman.log_chunk_default DEFAULT;


--
-- Data for Name: definition; Type: TABLE DATA; Schema: asman; Owner: -
--

INSERT INTO asman.definition VALUES ('\xb1b381a6bace46abf1c487223b81718657445cdeb7f72018cb5a1c8c2cfbb128', '{"a":1}', '2026-12-01 11:23:34.781776+00');
INSERT INTO asman.definition VALUES ('\xc2cc8d4c35c3890119ca6c0eafb5d3780fe04336152faef1b9ccf4b0ebdd66d6', '2', '2026-12-01 11:23:34.781776+00');
INSERT INTO asman.definition VALUES ('\xeb50e9d9d4eae4111eafc778349d654c5ab3e0b78eac600013c5bd395d6fa398', '[3]', '2026-12-01 11:23:34.781776+00');
INSERT INTO asman.definition VALUES ('\xdfeea97baf43d1534cfdcfd7f676c53d3dd99810381aec903b375d1c70e13637', '{"image":"alpine:3.20","command":"echo succeeded","inputs":{"in.txt":{"value":"an input"}}}', '2026-12-01 11:23:34.830989+00');
INSERT INTO asman.definition VALUES ('\x972037d245e2338f54c58ba4df7de5491901bec030a50715e351d0502f32cd4d', '{"image":"alpine:3.20","command":"echo failed"}', '2026-12-01 11:23:34.86613+00');
INSERT INTO asman.definition VALUES ('\x07db052fd484f35d8da29ca483a1166905329e911f2ad58db7cd147c0c97d0a5', '{"image":"alpine:3.20","command":"echo timed out","maxDuration":"1s"}', '2026-12-01 11:23:34.885985+00');
INSERT INTO asman.definition VALUES ('\x2f056c905e00d6d0fd357a9868bdd1b15ed40d5d0c489de5868491bce67ee6e0', '{"image":"alpine:3.20","command":"echo cancelled"}', '2026-12-01 11:23:34.903046+00');
INSERT INTO asman.definition VALUES ('\x5dca8dbb9388f598c837314213a21a006c633629a6171c81072723c4e139da4a', '{"image":"alpine:3.20","command":"echo by a page","env":{}}', '2026-12-01 11:23:34.912959+00');
INSERT INTO asman.definition VALUES ('\xb72d2546a5ee2f60b9a22488971d63f24f31345c6aa02b60ed354028f7d266c8', '{"build":{"dockerfile":"FROM alpine:3.20\nRUN true\n"},"command":"true"}', '2026-12-01 11:23:34.919687+00');
INSERT INTO asman.definition VALUES ('\xd2d16788b5856a67434a22c65f6dd0913d7a94b5bbd59ab48e4d6dbe39674d3e', '{"image":"alpine:3.20","command":"echo running","env":{"A":"1"}}', '2026-12-01 11:23:34.931843+00');
INSERT INTO asman.definition VALUES ('\x4dd32db5be221b53b308cd2a7d401c4a1e1e793400d7c76731199f2dc1ae02f8', '{"image":"alpine:3.20","command":"echo waiting","requirements":{"cpus":2,"memory":"1GiB"}}', '2026-12-01 11:23:34.937171+00');
INSERT INTO asman.definition VALUES ('\xc6be0d74c09d9c4d6f574c619c001479bc0410acb6fd8ad74e63e675e84c85bd', '{"image":"alpine:3.20","command":"echo tagged","tags":["rare"]}', '2026-12-01 11:23:34.94041+00');
INSERT INTO asman.definition VALUES ('\x9e71a91de86bb1ab85bc7c502e0eb88097c5fcd2eadb803f6b0e02d5d0cb3eaf', '{"image":"alpine:3.20","command":"echo large","requirements":{"cpus":4000}}', '2026-12-01 11:23:34.943161+00');
INSERT INTO asman.definition VALUES ('\x44ce0249d5e541caffcb0b4479d02cd7cfe2ce7f759c4f6e253152c62d8ac779', '{"image":"alpine:3.20","command":"echo replaced"}', '2026-12-01 11:23:34.945031+00');
INSERT INTO asman.definition VALUES ('\x9895a8ec73617b6ca275258fc02ab470d39a0c14607b8f720348e55b11f58b50', '{"image":"alpine:3.20","command":"echo replacing"}', '2026-12-01 11:23:34.94801+00');
INSERT INTO asman.definition VALUES ('\x6a126d451ae667f5d970920299ce4766928e470731ee2f9f4c95686d3447e9ba', '"4"', '2026-12-01 11:23:34.956926+00');


--
-- Data for Name: event_20261201; Type: TABLE DATA; Schema: asman; Owner: -
--

INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 1, '735', '2026-12-01 11:23:34.781776+00', 'done', 'queued', NULL, NULL, '_', NULL, NULL, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 2, '735', '2026-12-01 11:23:34.781776+00', 'failed', 'queued', NULL, NULL, '_', NULL, NULL, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 3, '735', '2026-12-01 11:23:34.781776+00', 'held', 'queued', NULL, NULL, '_', NULL, NULL, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 4, '737', '2026-12-01 11:23:34.81081+00', 'done', 'claimed', NULL, 'w', NULL, 1, 1, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 5, '737', '2026-12-01 11:23:34.81081+00', 'failed', 'claimed', NULL, 'w', NULL, 1, 2, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 6, '737', '2026-12-01 11:23:34.81081+00', 'held', 'claimed', NULL, 'w', NULL, 1, 3, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 7, '738', '2026-12-01 11:23:34.821363+00', 'done', 'finished', 'Success', 'w', NULL, 1, 1, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 8, '740', '2026-12-01 11:23:34.827389+00', 'failed', 'finished', 'Error', 'w', NULL, 1, 2, 'broken');
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 9, '742', '2026-12-01 11:23:34.830989+00', 'dfeea97baf43d1534cfdcfd7f676c53d3dd99810381aec903b375d1c70e13637', 'queued', NULL, NULL, '_', NULL, NULL, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 10, '745', '2026-12-01 11:23:34.842727+00', 'dfeea97baf43d1534cfdcfd7f676c53d3dd99810381aec903b375d1c70e13637', 'claimed', NULL, 'w', NULL, 1, 4, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 11, '749', '2026-12-01 11:23:34.857961+00', 'dfeea97baf43d1534cfdcfd7f676c53d3dd99810381aec903b375d1c70e13637', 'finished', 'Success', 'w', NULL, 1, 4, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 12, '750', '2026-12-01 11:23:34.86613+00', '972037d245e2338f54c58ba4df7de5491901bec030a50715e351d0502f32cd4d', 'queued', NULL, NULL, '_', NULL, NULL, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 13, '753', '2026-12-01 11:23:34.87701+00', '972037d245e2338f54c58ba4df7de5491901bec030a50715e351d0502f32cd4d', 'claimed', NULL, 'w', NULL, 1, 5, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 14, '756', '2026-12-01 11:23:34.883834+00', '972037d245e2338f54c58ba4df7de5491901bec030a50715e351d0502f32cd4d', 'finished', 'Error', 'w', NULL, 1, 5, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 15, '757', '2026-12-01 11:23:34.885985+00', '07db052fd484f35d8da29ca483a1166905329e911f2ad58db7cd147c0c97d0a5', 'queued', NULL, NULL, '_', NULL, NULL, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 16, '761', '2026-12-01 11:23:34.897415+00', '07db052fd484f35d8da29ca483a1166905329e911f2ad58db7cd147c0c97d0a5', 'claimed', NULL, 'w', NULL, 1, 6, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 17, '762', '2026-12-01 11:23:34.8995+00', '07db052fd484f35d8da29ca483a1166905329e911f2ad58db7cd147c0c97d0a5', 'finished', 'TimedOut', 'w', NULL, 1, 6, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 18, '764', '2026-12-01 11:23:34.903046+00', '2f056c905e00d6d0fd357a9868bdd1b15ed40d5d0c489de5868491bce67ee6e0', 'queued', NULL, NULL, '_', NULL, NULL, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 19, '766', '2026-12-01 11:23:34.910251+00', '2f056c905e00d6d0fd357a9868bdd1b15ed40d5d0c489de5868491bce67ee6e0', 'finished', 'Cancelled', NULL, '_', 0, NULL, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 20, '767', '2026-12-01 11:23:34.912959+00', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'queued', NULL, NULL, '_', NULL, NULL, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 21, '770', '2026-12-01 11:23:34.916714+00', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'claimed', NULL, 'w', NULL, 1, 7, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 22, '771', '2026-12-01 11:23:34.918218+00', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'finished', 'Success', 'w', NULL, 1, 7, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 23, '772', '2026-12-01 11:23:34.919687+00', 'b72d2546a5ee2f60b9a22488971d63f24f31345c6aa02b60ed354028f7d266c8', 'queued', NULL, NULL, '_', NULL, NULL, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 24, '775', '2026-12-01 11:23:34.929041+00', 'b72d2546a5ee2f60b9a22488971d63f24f31345c6aa02b60ed354028f7d266c8', 'claimed', NULL, 'w', NULL, 1, 8, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 25, '776', '2026-12-01 11:23:34.930324+00', 'b72d2546a5ee2f60b9a22488971d63f24f31345c6aa02b60ed354028f7d266c8', 'finished', 'Success', 'w', NULL, 1, 8, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 26, '778', '2026-12-01 11:23:34.931843+00', 'd2d16788b5856a67434a22c65f6dd0913d7a94b5bbd59ab48e4d6dbe39674d3e', 'queued', NULL, NULL, '_', NULL, NULL, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 27, '780', '2026-12-01 11:23:34.934418+00', 'd2d16788b5856a67434a22c65f6dd0913d7a94b5bbd59ab48e4d6dbe39674d3e', 'claimed', NULL, 'w', NULL, 1, 9, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 28, '783', '2026-12-01 11:23:34.937171+00', '4dd32db5be221b53b308cd2a7d401c4a1e1e793400d7c76731199f2dc1ae02f8', 'queued', NULL, NULL, 'n', NULL, NULL, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 29, '784', '2026-12-01 11:23:34.94041+00', 'c6be0d74c09d9c4d6f574c619c001479bc0410acb6fd8ad74e63e675e84c85bd', 'queued', NULL, NULL, '_', NULL, NULL, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 30, '785', '2026-12-01 11:23:34.943161+00', '9e71a91de86bb1ab85bc7c502e0eb88097c5fcd2eadb803f6b0e02d5d0cb3eaf', 'queued', NULL, NULL, '_', NULL, NULL, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 31, '786', '2026-12-01 11:23:34.945031+00', '44ce0249d5e541caffcb0b4479d02cd7cfe2ce7f759c4f6e253152c62d8ac779', 'queued', NULL, NULL, 'page', NULL, NULL, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 32, '788', '2026-12-01 11:23:34.94801+00', '9895a8ec73617b6ca275258fc02ab470d39a0c14607b8f720348e55b11f58b50', 'queued', NULL, NULL, 'page', NULL, NULL, NULL);
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 33, '789', '2026-12-01 11:23:34.950865+00', '44ce0249d5e541caffcb0b4479d02cd7cfe2ce7f759c4f6e253152c62d8ac779', 'finished', 'JobReplacedByClient', NULL, 'page', 0, NULL, 'a newer job took its namespace');
INSERT INTO asman.event_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 34, '790', '2026-12-01 11:23:34.956926+00', 'waits', 'queued', NULL, NULL, '_', NULL, NULL, NULL);


--
-- Data for Name: event_20261202; Type: TABLE DATA; Schema: asman; Owner: -
--



--
-- Data for Name: event_20261203; Type: TABLE DATA; Schema: asman; Owner: -
--



--
-- Data for Name: event_20261204; Type: TABLE DATA; Schema: asman; Owner: -
--



--
-- Data for Name: event_20261205; Type: TABLE DATA; Schema: asman; Owner: -
--



--
-- Data for Name: event_default; Type: TABLE DATA; Schema: asman; Owner: -
--



--
-- Data for Name: finished_20261130; Type: TABLE DATA; Schema: asman; Owner: -
--

INSERT INTO asman.finished_20261130 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 'done', 1, 1, 'Success', NULL, NULL, 'w', '\xb1b381a6bace46abf1c487223b81718657445cdeb7f72018cb5a1c8c2cfbb128', false, false, '{_}', 0, 0, 0, '{}', '2026-12-01 11:23:34.781776+00', '2026-12-01 11:23:34.81081+00', '2026-12-01 11:23:34.82213+00', NULL, NULL, '{"isTimedOut":false,"outputs":{},"result":{"score":1}}', true, 0, 0, 86400);
INSERT INTO asman.finished_20261130 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 'failed', 2, 1, 'Error', 'broken', NULL, 'w', '\xc2cc8d4c35c3890119ca6c0eafb5d3780fe04336152faef1b9ccf4b0ebdd66d6', false, false, '{_}', 0, 0, 0, '{}', '2026-12-01 11:23:34.781776+00', '2026-12-01 11:23:34.81081+00', '2026-12-01 11:23:34.828163+00', NULL, NULL, '{"isTimedOut":false,"outputs":{},"error":{"statusCode":null,"json":{"message":"broken"}}}', true, 0, 0, 86400);
INSERT INTO asman.finished_20261130 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 'dfeea97baf43d1534cfdcfd7f676c53d3dd99810381aec903b375d1c70e13637', 4, 1, 'Success', NULL, NULL, 'w', '\xdfeea97baf43d1534cfdcfd7f676c53d3dd99810381aec903b375d1c70e13637', true, false, '{_}', 1, 0, 0, '{}', '2026-12-01 11:23:34.830989+00', '2026-12-01 11:23:34.842727+00', '2026-12-01 11:23:34.858457+00', 0, NULL, '{"StatusCode":0,"logs":[],"isTimedOut":false,"outputs":{"out.txt":{"value":"made"}}}', false, -2862141627565625208, 0, 86400);
INSERT INTO asman.finished_20261130 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', '972037d245e2338f54c58ba4df7de5491901bec030a50715e351d0502f32cd4d', 5, 1, 'Error', NULL, NULL, 'w', '\x972037d245e2338f54c58ba4df7de5491901bec030a50715e351d0502f32cd4d', true, false, '{_}', 1, 0, 0, '{}', '2026-12-01 11:23:34.86613+00', '2026-12-01 11:23:34.87701+00', '2026-12-01 11:23:34.884227+00', 1, NULL, '{"StatusCode":1,"logs":[],"error":"no such image","isTimedOut":false,"outputs":{}}', false, -2862141627565625208, 0, 86400);
INSERT INTO asman.finished_20261130 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', '07db052fd484f35d8da29ca483a1166905329e911f2ad58db7cd147c0c97d0a5', 6, 1, 'TimedOut', NULL, NULL, 'w', '\x07db052fd484f35d8da29ca483a1166905329e911f2ad58db7cd147c0c97d0a5', true, false, '{_}', 1, 0, 0, '{}', '2026-12-01 11:23:34.885985+00', '2026-12-01 11:23:34.897415+00', '2026-12-01 11:23:34.899891+00', 137, NULL, '{"StatusCode":137,"logs":[],"isTimedOut":true,"outputs":{}}', false, -2862141627565625208, 0, 1);
INSERT INTO asman.finished_20261130 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', '2f056c905e00d6d0fd357a9868bdd1b15ed40d5d0c489de5868491bce67ee6e0', 0, 0, 'Cancelled', NULL, '_', NULL, '\x2f056c905e00d6d0fd357a9868bdd1b15ed40d5d0c489de5868491bce67ee6e0', true, false, '{_}', 1, 0, 0, '{}', '2026-12-01 11:23:34.903046+00', NULL, '2026-12-01 11:23:34.911244+00', NULL, NULL, NULL, false, -2862141627565625208, 0, 86400);
INSERT INTO asman.finished_20261130 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 7, 1, 'Success', NULL, NULL, 'w', '\x5dca8dbb9388f598c837314213a21a006c633629a6171c81072723c4e139da4a', false, false, '{_}', 1, 0, 0, '{}', '2026-12-01 11:23:34.912959+00', '2026-12-01 11:23:34.916714+00', '2026-12-01 11:23:34.918363+00', 0, NULL, '{"StatusCode":0,"logs":[],"isTimedOut":false,"outputs":{}}', false, -2862141627565625208, 0, 86400);
INSERT INTO asman.finished_20261130 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 'b72d2546a5ee2f60b9a22488971d63f24f31345c6aa02b60ed354028f7d266c8', 8, 1, 'Success', NULL, NULL, 'w', '\xb72d2546a5ee2f60b9a22488971d63f24f31345c6aa02b60ed354028f7d266c8', true, false, '{_}', 1, 0, 0, '{}', '2026-12-01 11:23:34.919687+00', '2026-12-01 11:23:34.929041+00', '2026-12-01 11:23:34.930482+00', 0, NULL, '{"StatusCode":0,"logs":[],"isTimedOut":false,"outputs":{}}', false, -2862141627565625208, 0, 86400);
INSERT INTO asman.finished_20261130 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', '44ce0249d5e541caffcb0b4479d02cd7cfe2ce7f759c4f6e253152c62d8ac779', 0, 0, 'JobReplacedByClient', 'a newer job took its namespace', 'page', NULL, '\x44ce0249d5e541caffcb0b4479d02cd7cfe2ce7f759c4f6e253152c62d8ac779', true, false, '{page}', 1, 0, 0, '{}', '2026-12-01 11:23:34.945031+00', NULL, '2026-12-01 11:23:34.952097+00', NULL, NULL, NULL, false, -2862141627565625208, 0, 86400);


--
-- Data for Name: finished_20261207; Type: TABLE DATA; Schema: asman; Owner: -
--



--
-- Data for Name: finished_20261214; Type: TABLE DATA; Schema: asman; Owner: -
--



--
-- Data for Name: finished_20261221; Type: TABLE DATA; Schema: asman; Owner: -
--



--
-- Data for Name: finished_20261228; Type: TABLE DATA; Schema: asman; Owner: -
--



--
-- Data for Name: finished_default; Type: TABLE DATA; Schema: asman; Owner: -
--



--
-- Data for Name: hold; Type: TABLE DATA; Schema: asman; Owner: -
--

INSERT INTO asman.hold VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 'n', '4dd32db5be221b53b308cd2a7d401c4a1e1e793400d7c76731199f2dc1ae02f8', '2026-12-01 11:23:34.937171+00');
INSERT INTO asman.hold VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 'page', '9895a8ec73617b6ca275258fc02ab470d39a0c14607b8f720348e55b11f58b50', '2026-12-01 11:23:34.94801+00');


--
-- Data for Name: log_chunk_20261201; Type: TABLE DATA; Schema: asman; Owner: -
--

INSERT INTO asman.log_chunk_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 'dfeea97baf43d1534cfdcfd7f676c53d3dd99810381aec903b375d1c70e13637', 4, 0, 'docker build', 1, '[["pulled",1700000000000]]', 1, 0, 6, '2026-12-01 11:23:34.842727+00');
INSERT INTO asman.log_chunk_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 'dfeea97baf43d1534cfdcfd7f676c53d3dd99810381aec903b375d1c70e13637', 4, 1, 'Running', 2, '[["hello",1700000000000],["é",1700000000000]]', 1, 2, 13, '2026-12-01 11:23:34.842727+00');
INSERT INTO asman.log_chunk_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', '972037d245e2338f54c58ba4df7de5491901bec030a50715e351d0502f32cd4d', 5, 0, 'Running', 1, '[["no such thing",1700000000000]]', 0, 1, 13, '2026-12-01 11:23:34.87701+00');
INSERT INTO asman.log_chunk_20261201 VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 'd2d16788b5856a67434a22c65f6dd0913d7a94b5bbd59ab48e4d6dbe39674d3e', 9, 0, 'Running', 1, '[["halfway",1700000000000]]', 0, 1, 7, '2026-12-01 11:23:34.934418+00');


--
-- Data for Name: log_chunk_20261202; Type: TABLE DATA; Schema: asman; Owner: -
--



--
-- Data for Name: log_chunk_20261203; Type: TABLE DATA; Schema: asman; Owner: -
--



--
-- Data for Name: log_chunk_20261204; Type: TABLE DATA; Schema: asman; Owner: -
--



--
-- Data for Name: log_chunk_20261205; Type: TABLE DATA; Schema: asman; Owner: -
--



--
-- Data for Name: log_chunk_default; Type: TABLE DATA; Schema: asman; Owner: -
--



--
-- Data for Name: login; Type: TABLE DATA; Schema: asman; Owner: -
--



--
-- Data for Name: migration; Type: TABLE DATA; Schema: asman; Owner: -
--

INSERT INTO asman.migration VALUES (1, 'tables', '2026-12-01T11:23:34.504299108Z', '7310055503762889867');
INSERT INTO asman.migration VALUES (2, 'webhooks_namespaces_items', '2026-12-01T11:23:34.517375071Z', '11970453029869223316');
INSERT INTO asman.migration VALUES (3, 'logins', '2026-12-01T11:23:34.524629854Z', '3634811489658271366');


--
-- Data for Name: queue; Type: TABLE DATA; Schema: asman; Owner: -
--



--
-- Data for Name: queued; Type: TABLE DATA; Schema: asman; Owner: -
--

INSERT INTO asman.queued VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 9007220002603535293, 0, 11, '4dd32db5be221b53b308cd2a7d401c4a1e1e793400d7c76731199f2dc1ae02f8', '\x4dd32db5be221b53b308cd2a7d401c4a1e1e793400d7c76731199f2dc1ae02f8', true, false, '{n}', 2, 0, 1073741824, 0, 86400, '{}', 0, 0, NULL, '2026-12-01 11:23:34.937171+00', false);
INSERT INTO asman.queued VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', -8769062192314530509, 0, 12, 'c6be0d74c09d9c4d6f574c619c001479bc0410acb6fd8ad74e63e675e84c85bd', '\xc6be0d74c09d9c4d6f574c619c001479bc0410acb6fd8ad74e63e675e84c85bd', true, false, '{_}', 1, 0, 0, 0, 86400, '{rare}', 0, 0, NULL, '2026-12-01 11:23:34.94041+00', false);
INSERT INTO asman.queued VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', -7095523042878459415, 0, 13, '9e71a91de86bb1ab85bc7c502e0eb88097c5fcd2eadb803f6b0e02d5d0cb3eaf', '\x9e71a91de86bb1ab85bc7c502e0eb88097c5fcd2eadb803f6b0e02d5d0cb3eaf', true, false, '{_}', 4000, 0, 0, 0, 86400, '{}', 0, 0, NULL, '2026-12-01 11:23:34.943161+00', false);
INSERT INTO asman.queued VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', -2862141627565625208, 0, 15, '9895a8ec73617b6ca275258fc02ab470d39a0c14607b8f720348e55b11f58b50', '\x9895a8ec73617b6ca275258fc02ab470d39a0c14607b8f720348e55b11f58b50', true, false, '{page}', 1, 0, 0, 0, 86400, '{}', 0, 0, NULL, '2026-12-01 11:23:34.94801+00', false);
INSERT INTO asman.queued VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 0, 0, 16, 'waits', '\x6a126d451ae667f5d970920299ce4766928e470731ee2f9f4c95686d3447e9ba', false, false, '{_}', 0, 0, 0, 0, 86400, '{}', 0, 0, NULL, '2026-12-01 11:23:34.956926+00', true);


--
-- Data for Name: running; Type: TABLE DATA; Schema: asman; Owner: -
--

INSERT INTO asman.running VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 'held', 3, 'w', 1, '2026-12-01 11:23:34.81081+00', '2026-12-10 17:36:54.81081+00', 0, 0, 3, '\xeb50e9d9d4eae4111eafc778349d654c5ab3e0b78eac600013c5bd395d6fa398', false, false, '{_}', 0, 0, 0, 0, 86400, '{}', 0, '2026-12-01 11:23:34.781776+00', true, true);
INSERT INTO asman.running VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 'd2d16788b5856a67434a22c65f6dd0913d7a94b5bbd59ab48e4d6dbe39674d3e', 9, 'w', 1, '2026-12-01 11:23:34.934418+00', '2026-12-01 13:23:34.934418+00', -2862141627565625208, 0, 10, '\xd2d16788b5856a67434a22c65f6dd0913d7a94b5bbd59ab48e4d6dbe39674d3e', true, false, '{_}', 1, 0, 0, 0, 86400, '{}', 0, '2026-12-01 11:23:34.931843+00', false, false);


--
-- Data for Name: supersession; Type: TABLE DATA; Schema: asman; Owner: -
--



--
-- Data for Name: webhook; Type: TABLE DATA; Schema: asman; Owner: -
--



--
-- Data for Name: worker; Type: TABLE DATA; Schema: asman; Owner: -
--

INSERT INTO asman.worker VALUES ('8e35c2cd-3bf6-641b-db0e-2050b76932cb', 'w', '0', 'docker', 4, 1, 8000000000, 3600, '{}', '2026-12-01 11:23:34.841038+00', '2026-12-01 11:23:34.933984+00');


--
-- Name: epoch_seq; Type: SEQUENCE SET; Schema: asman; Owner: -
--

SELECT pg_catalog.setval('asman.epoch_seq', 9, true);


--
-- Name: event_seq; Type: SEQUENCE SET; Schema: asman; Owner: -
--

SELECT pg_catalog.setval('asman.event_seq', 34, true);


--
-- Name: queued_seq; Type: SEQUENCE SET; Schema: asman; Owner: -
--

SELECT pg_catalog.setval('asman.queued_seq', 16, true);


--
-- Name: definition definition_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.definition
    ADD CONSTRAINT definition_pkey PRIMARY KEY (hash);


--
-- Name: event event_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.event
    ADD CONSTRAINT event_pkey PRIMARY KEY (qid, xid, seq, at);


--
-- Name: event_20261201 event_20261201_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.event_20261201
    ADD CONSTRAINT event_20261201_pkey PRIMARY KEY (qid, xid, seq, at);


--
-- Name: event_20261202 event_20261202_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.event_20261202
    ADD CONSTRAINT event_20261202_pkey PRIMARY KEY (qid, xid, seq, at);


--
-- Name: event_20261203 event_20261203_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.event_20261203
    ADD CONSTRAINT event_20261203_pkey PRIMARY KEY (qid, xid, seq, at);


--
-- Name: event_20261204 event_20261204_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.event_20261204
    ADD CONSTRAINT event_20261204_pkey PRIMARY KEY (qid, xid, seq, at);


--
-- Name: event_20261205 event_20261205_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.event_20261205
    ADD CONSTRAINT event_20261205_pkey PRIMARY KEY (qid, xid, seq, at);


--
-- Name: event_default event_default_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.event_default
    ADD CONSTRAINT event_default_pkey PRIMARY KEY (qid, xid, seq, at);


--
-- Name: finished finished_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.finished
    ADD CONSTRAINT finished_pkey PRIMARY KEY (job_id, qid, finished_at);


--
-- Name: finished_20261130 finished_20261130_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.finished_20261130
    ADD CONSTRAINT finished_20261130_pkey PRIMARY KEY (job_id, qid, finished_at);


--
-- Name: finished_20261207 finished_20261207_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.finished_20261207
    ADD CONSTRAINT finished_20261207_pkey PRIMARY KEY (job_id, qid, finished_at);


--
-- Name: finished_20261214 finished_20261214_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.finished_20261214
    ADD CONSTRAINT finished_20261214_pkey PRIMARY KEY (job_id, qid, finished_at);


--
-- Name: finished_20261221 finished_20261221_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.finished_20261221
    ADD CONSTRAINT finished_20261221_pkey PRIMARY KEY (job_id, qid, finished_at);


--
-- Name: finished_20261228 finished_20261228_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.finished_20261228
    ADD CONSTRAINT finished_20261228_pkey PRIMARY KEY (job_id, qid, finished_at);


--
-- Name: finished_default finished_default_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.finished_default
    ADD CONSTRAINT finished_default_pkey PRIMARY KEY (job_id, qid, finished_at);


--
-- Name: hold hold_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.hold
    ADD CONSTRAINT hold_pkey PRIMARY KEY (qid, namespace);


--
-- Name: log_chunk log_chunk_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.log_chunk
    ADD CONSTRAINT log_chunk_pkey PRIMARY KEY (job_id, qid, epoch, seq, claimed_at);


--
-- Name: log_chunk_20261201 log_chunk_20261201_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.log_chunk_20261201
    ADD CONSTRAINT log_chunk_20261201_pkey PRIMARY KEY (job_id, qid, epoch, seq, claimed_at);


--
-- Name: log_chunk_20261202 log_chunk_20261202_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.log_chunk_20261202
    ADD CONSTRAINT log_chunk_20261202_pkey PRIMARY KEY (job_id, qid, epoch, seq, claimed_at);


--
-- Name: log_chunk_20261203 log_chunk_20261203_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.log_chunk_20261203
    ADD CONSTRAINT log_chunk_20261203_pkey PRIMARY KEY (job_id, qid, epoch, seq, claimed_at);


--
-- Name: log_chunk_20261204 log_chunk_20261204_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.log_chunk_20261204
    ADD CONSTRAINT log_chunk_20261204_pkey PRIMARY KEY (job_id, qid, epoch, seq, claimed_at);


--
-- Name: log_chunk_20261205 log_chunk_20261205_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.log_chunk_20261205
    ADD CONSTRAINT log_chunk_20261205_pkey PRIMARY KEY (job_id, qid, epoch, seq, claimed_at);


--
-- Name: log_chunk_default log_chunk_default_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.log_chunk_default
    ADD CONSTRAINT log_chunk_default_pkey PRIMARY KEY (job_id, qid, epoch, seq, claimed_at);


--
-- Name: login login_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.login
    ADD CONSTRAINT login_pkey PRIMARY KEY (hash);


--
-- Name: migration migration_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.migration
    ADD CONSTRAINT migration_pkey PRIMARY KEY (version);


--
-- Name: queue queue_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.queue
    ADD CONSTRAINT queue_pkey PRIMARY KEY (qid);


--
-- Name: queued queued_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.queued
    ADD CONSTRAINT queued_pkey PRIMARY KEY (qid, class, priority, seq);


--
-- Name: running running_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.running
    ADD CONSTRAINT running_pkey PRIMARY KEY (job_id, qid);


--
-- Name: supersession supersession_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.supersession
    ADD CONSTRAINT supersession_pkey PRIMARY KEY (qid, job_id, namespace);


--
-- Name: webhook webhook_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.webhook
    ADD CONSTRAINT webhook_pkey PRIMARY KEY (id);


--
-- Name: worker worker_pkey; Type: CONSTRAINT; Schema: asman; Owner: -
--

ALTER TABLE ONLY asman.worker
    ADD CONSTRAINT worker_pkey PRIMARY KEY (qid, worker_id);


--
-- Name: definition_used_at; Type: INDEX; Schema: asman; Owner: -
--

CREATE INDEX definition_used_at ON asman.definition USING btree (used_at);


--
-- Name: event_job; Type: INDEX; Schema: asman; Owner: -
--

CREATE INDEX event_job ON ONLY asman.event USING btree (job_id, qid);


--
-- Name: event_20261201_job_id_qid_idx; Type: INDEX; Schema: asman; Owner: -
--

CREATE INDEX event_20261201_job_id_qid_idx ON asman.event_20261201 USING btree (job_id, qid);


--
-- Name: event_20261202_job_id_qid_idx; Type: INDEX; Schema: asman; Owner: -
--

CREATE INDEX event_20261202_job_id_qid_idx ON asman.event_20261202 USING btree (job_id, qid);


--
-- Name: event_20261203_job_id_qid_idx; Type: INDEX; Schema: asman; Owner: -
--

CREATE INDEX event_20261203_job_id_qid_idx ON asman.event_20261203 USING btree (job_id, qid);


--
-- Name: event_20261204_job_id_qid_idx; Type: INDEX; Schema: asman; Owner: -
--

CREATE INDEX event_20261204_job_id_qid_idx ON asman.event_20261204 USING btree (job_id, qid);


--
-- Name: event_20261205_job_id_qid_idx; Type: INDEX; Schema: asman; Owner: -
--

CREATE INDEX event_20261205_job_id_qid_idx ON asman.event_20261205 USING btree (job_id, qid);


--
-- Name: event_default_job_id_qid_idx; Type: INDEX; Schema: asman; Owner: -
--

CREATE INDEX event_default_job_id_qid_idx ON asman.event_default USING btree (job_id, qid);


--
-- Name: finished_queue; Type: INDEX; Schema: asman; Owner: -
--

CREATE INDEX finished_queue ON ONLY asman.finished USING btree (qid, finished_at) INCLUDE (reason);


--
-- Name: finished_20261130_qid_finished_at_reason_idx; Type: INDEX; Schema: asman; Owner: -
--

CREATE INDEX finished_20261130_qid_finished_at_reason_idx ON asman.finished_20261130 USING btree (qid, finished_at) INCLUDE (reason);


--
-- Name: finished_20261207_qid_finished_at_reason_idx; Type: INDEX; Schema: asman; Owner: -
--

CREATE INDEX finished_20261207_qid_finished_at_reason_idx ON asman.finished_20261207 USING btree (qid, finished_at) INCLUDE (reason);


--
-- Name: finished_20261214_qid_finished_at_reason_idx; Type: INDEX; Schema: asman; Owner: -
--

CREATE INDEX finished_20261214_qid_finished_at_reason_idx ON asman.finished_20261214 USING btree (qid, finished_at) INCLUDE (reason);


--
-- Name: finished_20261221_qid_finished_at_reason_idx; Type: INDEX; Schema: asman; Owner: -
--

CREATE INDEX finished_20261221_qid_finished_at_reason_idx ON asman.finished_20261221 USING btree (qid, finished_at) INCLUDE (reason);


--
-- Name: finished_20261228_qid_finished_at_reason_idx; Type: INDEX; Schema: asman; Owner: -
--

CREATE INDEX finished_20261228_qid_finished_at_reason_idx ON asman.finished_20261228 USING btree (qid, finished_at) INCLUDE (reason);


--
-- Name: finished_default_qid_finished_at_reason_idx; Type: INDEX; Schema: asman; Owner: -
--

CREATE INDEX finished_default_qid_finished_at_reason_idx ON asman.finished_default USING btree (qid, finished_at) INCLUDE (reason);


--
-- Name: hold_since; Type: INDEX; Schema: asman; Owner: -
--

CREATE INDEX hold_since ON asman.hold USING btree (since);


--
-- Name: queued_job; Type: INDEX; Schema: asman; Owner: -
--

CREATE UNIQUE INDEX queued_job ON asman.queued USING btree (job_id, qid);


--
-- Name: running_worker; Type: INDEX; Schema: asman; Owner: -
--

CREATE INDEX running_worker ON asman.running USING btree (qid, worker_id);


--
-- Name: supersession_due; Type: INDEX; Schema: asman; Owner: -
--

CREATE INDEX supersession_due ON asman.supersession USING btree (due_at);


--
-- Name: webhook_due; Type: INDEX; Schema: asman; Owner: -
--

CREATE INDEX webhook_due ON asman.webhook USING btree (host, due_at) WHERE (due_at IS NOT NULL);


--
-- Name: webhook_job; Type: INDEX; Schema: asman; Owner: -
--

CREATE UNIQUE INDEX webhook_job ON asman.webhook USING btree (job_id, qid, namespace, kind, md5(url)) WHERE (due_at IS NULL);


--
-- Name: webhook_untold; Type: INDEX; Schema: asman; Owner: -
--

CREATE INDEX webhook_untold ON asman.webhook USING btree (job_id, qid) WHERE (due_at IS NOT NULL);


--
-- Name: event_20261201_job_id_qid_idx; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.event_job ATTACH PARTITION asman.event_20261201_job_id_qid_idx;


--
-- Name: event_20261201_pkey; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.event_pkey ATTACH PARTITION asman.event_20261201_pkey;


--
-- Name: event_20261202_job_id_qid_idx; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.event_job ATTACH PARTITION asman.event_20261202_job_id_qid_idx;


--
-- Name: event_20261202_pkey; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.event_pkey ATTACH PARTITION asman.event_20261202_pkey;


--
-- Name: event_20261203_job_id_qid_idx; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.event_job ATTACH PARTITION asman.event_20261203_job_id_qid_idx;


--
-- Name: event_20261203_pkey; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.event_pkey ATTACH PARTITION asman.event_20261203_pkey;


--
-- Name: event_20261204_job_id_qid_idx; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.event_job ATTACH PARTITION asman.event_20261204_job_id_qid_idx;


--
-- Name: event_20261204_pkey; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.event_pkey ATTACH PARTITION asman.event_20261204_pkey;


--
-- Name: event_20261205_job_id_qid_idx; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.event_job ATTACH PARTITION asman.event_20261205_job_id_qid_idx;


--
-- Name: event_20261205_pkey; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.event_pkey ATTACH PARTITION asman.event_20261205_pkey;


--
-- Name: event_default_job_id_qid_idx; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.event_job ATTACH PARTITION asman.event_default_job_id_qid_idx;


--
-- Name: event_default_pkey; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.event_pkey ATTACH PARTITION asman.event_default_pkey;


--
-- Name: finished_20261130_pkey; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.finished_pkey ATTACH PARTITION asman.finished_20261130_pkey;


--
-- Name: finished_20261130_qid_finished_at_reason_idx; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.finished_queue ATTACH PARTITION asman.finished_20261130_qid_finished_at_reason_idx;


--
-- Name: finished_20261207_pkey; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.finished_pkey ATTACH PARTITION asman.finished_20261207_pkey;


--
-- Name: finished_20261207_qid_finished_at_reason_idx; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.finished_queue ATTACH PARTITION asman.finished_20261207_qid_finished_at_reason_idx;


--
-- Name: finished_20261214_pkey; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.finished_pkey ATTACH PARTITION asman.finished_20261214_pkey;


--
-- Name: finished_20261214_qid_finished_at_reason_idx; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.finished_queue ATTACH PARTITION asman.finished_20261214_qid_finished_at_reason_idx;


--
-- Name: finished_20261221_pkey; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.finished_pkey ATTACH PARTITION asman.finished_20261221_pkey;


--
-- Name: finished_20261221_qid_finished_at_reason_idx; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.finished_queue ATTACH PARTITION asman.finished_20261221_qid_finished_at_reason_idx;


--
-- Name: finished_20261228_pkey; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.finished_pkey ATTACH PARTITION asman.finished_20261228_pkey;


--
-- Name: finished_20261228_qid_finished_at_reason_idx; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.finished_queue ATTACH PARTITION asman.finished_20261228_qid_finished_at_reason_idx;


--
-- Name: finished_default_pkey; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.finished_pkey ATTACH PARTITION asman.finished_default_pkey;


--
-- Name: finished_default_qid_finished_at_reason_idx; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.finished_queue ATTACH PARTITION asman.finished_default_qid_finished_at_reason_idx;


--
-- Name: log_chunk_20261201_pkey; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.log_chunk_pkey ATTACH PARTITION asman.log_chunk_20261201_pkey;


--
-- Name: log_chunk_20261202_pkey; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.log_chunk_pkey ATTACH PARTITION asman.log_chunk_20261202_pkey;


--
-- Name: log_chunk_20261203_pkey; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.log_chunk_pkey ATTACH PARTITION asman.log_chunk_20261203_pkey;


--
-- Name: log_chunk_20261204_pkey; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.log_chunk_pkey ATTACH PARTITION asman.log_chunk_20261204_pkey;


--
-- Name: log_chunk_20261205_pkey; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.log_chunk_pkey ATTACH PARTITION asman.log_chunk_20261205_pkey;


--
-- Name: log_chunk_default_pkey; Type: INDEX ATTACH; Schema: asman; Owner: -
--

ALTER INDEX asman.log_chunk_pkey ATTACH PARTITION asman.log_chunk_default_pkey;


--
-- Name: worker_load _RETURN; Type: RULE; Schema: report; Owner: -
--

CREATE OR REPLACE VIEW report.worker_load AS
 SELECT w.qid,
    w.worker_id,
    w.version,
    w.cpus,
    w.gpus,
    w.last_seen,
    (w.last_seen > (now() - '00:00:30'::interval)) AS is_alive,
    count(r.job_id) AS n_running,
    COALESCE(sum(r.cpus), (0)::double precision) AS cpus_used,
    COALESCE(sum(r.gpus), (0)::bigint) AS gpus_used
   FROM (asman.worker w
     LEFT JOIN asman.running r USING (qid, worker_id))
  GROUP BY w.qid, w.worker_id;


--
-- Name: finished finished_makes_webhooks_due; Type: TRIGGER; Schema: asman; Owner: -
--

CREATE TRIGGER finished_makes_webhooks_due AFTER INSERT ON asman.finished REFERENCING NEW TABLE AS ended FOR EACH STATEMENT EXECUTE FUNCTION asman.make_webhooks_due();


--
-- PostgreSQL database dump complete
--


