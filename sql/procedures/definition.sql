-- What `protocol::parsed` does in Rust: from a definition to what its job needs of a worker, or the sentence that says why not.

-- Refuse, with one sentence, as bad input.
create or replace function asman.refuse(sentence text) returns void
language plpgsql as $$ begin raise exception '%', sentence using errcode = 'invalid_parameter_value'; end $$;

-- Seconds of `90s`, `1h30m`, `250ms` or a bare number of milliseconds; null for null.
create or replace function asman.duration_seconds(value jsonb) returns numeric
language plpgsql immutable parallel safe as $$
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
end $$;

-- Bytes of `512m`, `4g`, `4GiB` or a bare number; null for null.
create or replace function asman.size_bytes(value jsonb) returns int8
language plpgsql immutable parallel safe as $$
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
end $$;

-- Refuse a name that no URL segment and no log line can carry.
create or replace function asman.check_name(what text, name text) returns void
language plpgsql as $$
begin
  if coalesce(name, '') = '' then perform asman.refuse(what || ' is empty'); end if;
  if length(name) > 255 then perform asman.refuse(what || ' is longer than 255 characters'); end if;
  if name ~ '[\u0001-\u001f\u007f-\u009f/]' then perform asman.refuse(what || ' holds a slash or a control character'); end if;
end $$;

-- Refuse a file name that leaves its folder.
create or replace function asman.check_path(path text, is_config bool) returns void
language plpgsql as $$
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
end $$;

-- Refuse a member of another type than these; absent and null are fine.
create or replace function asman.check_type(value jsonb, name text, variadic types text[]) returns void
language plpgsql as $$
begin
  if value -> name <> 'null' and jsonb_typeof(value -> name) <> all (types) then
    perform asman.refuse(format('the definition cannot be read: %s must be %s', name, array_to_string(types, ' or ')));
  end if;
end $$;

-- Refuse the files of one member: too many, bad names, no refs.
create or replace function asman.check_refs(definition jsonb, name text) returns void
language plpgsql as $$
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
end $$;

create or replace function asman.check_definition(d jsonb) returns void
language plpgsql as $$
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
end $$;

-- What a job needs of a worker. `class` is the hash of the rest, spelled as `sql::queued` spells it: the API's jobs and these
-- are in one class when they need the same.
create or replace function asman.needs_of(d jsonb, out cpus float8, out gpus int4, out memory_bytes int8, out required_seconds int4,
  out max_seconds int4, out tags text[], out class int8)
language plpgsql stable set extra_float_digits = 1 as $$
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
