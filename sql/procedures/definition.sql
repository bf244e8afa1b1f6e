-- Computes what a definition's job needs of a worker, or refuses the definition with a sentence that says what is wrong. In Rust
-- `protocol::parsed` does the same.

-- Refuse bad input with one sentence. The exception's detail contains the API's error code.
create or replace function asman.refuse(code text, sentence text) returns void
language plpgsql as $$ begin raise exception '%', sentence using errcode = 'invalid_parameter_value', detail = code; end $$;

-- Functions of the previous release call this while they are replaced.
create or replace function asman.refuse(sentence text) returns void
language sql as $$ select asman.refuse('invalid-request', sentence) $$;

-- Seconds of `90s`, `1h30m`, `2 Hrs`, `1w`, `PT1H` or a bare number of milliseconds; null for null. `what` names the member.
create or replace function asman.duration_seconds(value jsonb, what text) returns numeric
language plpgsql immutable parallel safe as $$
declare
  written constant text := btrim(value #>> '{}', E' \t\r\n');
  rest text := regexp_replace(lower(written), '^pt', '');
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
      part := regexp_match(rest, '^(\d+\.?\d*|\.\d+)\s*([a-z]+)\s*,?\s*(.*)$');
      unit_ms := case
        when part[2] in ('ms', 'msec', 'msecs', 'millisecond', 'milliseconds') then 1
        when part[2] in ('s', 'sec', 'secs', 'second', 'seconds') then 1000
        when part[2] in ('m', 'min', 'mins', 'minute', 'minutes') then 60000
        when part[2] in ('h', 'hr', 'hrs', 'hour', 'hours') then 3600000
        when part[2] in ('d', 'day', 'days') then 86400000
        when part[2] in ('w', 'wk', 'wks', 'week', 'weeks') then 604800000 end;
      ms := ms + part[1]::numeric * unit_ms;
      rest := part[3];
    end loop;
  end if;
  if ms is null or ms > 2592000000 or jsonb_typeof(value) not in ('string', 'number') then
    perform asman.refuse('invalid-duration',
      format('%s: "%s" is not a duration; write it as 90s, 20m, 1h30m, 2d or 1w', what, left(written, 40)));
  end if;
  return ms / 1000;
end $$;

-- As asman.duration_seconds, but a duration that is shorter than the shortest allowed run is refused.
create or replace function asman.run_seconds(value jsonb, what text) returns numeric
language plpgsql immutable parallel safe as $$
declare
  seconds constant numeric := asman.duration_seconds(value, what);
begin
  if seconds < 1 then
    perform asman.refuse('invalid-duration',
      what || ' is less than a second; write the unit, as in 90s or 20m, because a bare number means milliseconds');
  end if;
  return seconds;
end $$;

-- Bytes of `512m`, `4g`, `4GiB`, `512Mi` or a bare number; null for null. `what` names the member.
create or replace function asman.size_bytes(value jsonb, what text) returns int8
language plpgsql immutable parallel safe as $$
declare
  written constant text := btrim(value #>> '{}', E' \t\r\n');
  part constant text[] := regexp_match(lower(written), '^(\d+\.?\d*|\.\d+)(e\d{1,3})?\s*([a-z]*)$');
  factor numeric;
begin
  if value is null or value = 'null' then return null; end if;
  factor := case
    when part[3] in ('', 'b', 'byte', 'bytes') then 1
    when part[3] in ('k', 'kb', 'ki', 'kib') then 1024
    when part[3] in ('m', 'mb', 'mi', 'mib') then 1024 ^ 2
    when part[3] in ('g', 'gb', 'gi', 'gib') then 1024 ^ 3
    when part[3] in ('t', 'tb', 'ti', 'tib') then 1024 ^ 4 end;
  factor := trunc((part[1] || coalesce(part[2], ''))::numeric * factor);
  if factor is null or factor > 9007199254740992 or jsonb_typeof(value) not in ('string', 'number') then
    perform asman.refuse('invalid-size', format('%s: "%s" is not a size; write it as 512m, 4g or 4GiB', what, left(written, 40)));
  end if;
  return factor::int8;
end $$;

-- Refuse an invalid image reference. The grammar is that of the distribution project, as in `protocol::image`.
create or replace function asman.check_image(image text) returns void
language plpgsql as $$
declare
  written constant text := btrim(image, E' \t\r\n');
  digest constant text := substring(written from '@(.*)$');
  tagged constant text := split_part(written, '@', 1);
  tag constant text := substring(tagged from '^(?:.*/)?[^/:]*:([^/]*)$');
  name constant text := case when tag is null then tagged else left(tagged, length(tagged) - length(tag) - 1) end;
  first constant text := split_part(name, '/', 1);
  has_host constant bool := position('/' in name) > 0 and (first ~ '[.:]' or first = 'localhost');
  path constant text := case when has_host then substr(name, length(first) + 2) else name end;
begin
  if octet_length(name) > 255
    or path !~ '^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$'
    or (has_host and first !~ '^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*(:[0-9]+)?$')
    or tag !~ '^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$'
    or digest !~ '^[a-z0-9]+:[a-f0-9]{32,}$' or length(split_part(digest, ':', 2)) > 256 then
    perform asman.refuse('invalid-image', format(
      'image: "%s" is not an image reference; write it as name, name:tag or registry.example/path/name@sha256:…', left(image, 80)));
  end if;
end $$;

-- Refuse a command line that cannot start a process, as `protocol::command_line` does. Returns its size in bytes.
create or replace function asman.check_command_line(line text, what text, is_after_entrypoint bool) returns int8
language plpgsql immutable as $$
declare
  written constant text := btrim(line, E' \t\r\n');
  -- The text outside quotes and escapes. A quote that remains is not closed.
  bare constant text := regexp_replace(written, $re$\\.|'[^']*'|"([^"\\]|\\.)*"$re$, '', 'g');
  -- The same text without comments, which begin with `#`: splitting into words leaves them out.
  without_comments constant text := regexp_replace(written, $re$\\.|'[^']*'|"([^"\\]|\\.)*"|(?<![^[:space:]])#[^\n]*$re$, '', 'g');
  unquoted constant text := regexp_replace(bare, $re$['"].*$re$, '');
  is_whole constant bool := unquoted ~ '[|&;<>()]' or (is_after_entrypoint and unquoted ~ '[*?#]');
  n_bytes int8 := octet_length(written) + 9;
  longest int8 := octet_length(written);
begin
  if line is null or written = '' then return 0; end if;
  if not is_whole then
    if without_comments ~ $re$['"]$re$ then
      perform asman.refuse('invalid-command', what || ' cannot be split into words; check its quotes');
    end if;
    if longest > 65536 then
      select sum(octet_length(w[1]) + 9), max(octet_length(w[1])) into n_bytes, longest
      from regexp_matches(written, $re$((?:\\.|'[^']*'|"(?:[^"\\]|\\.)*"|[^\s'"\\])+)$re$, 'g') w;
    end if;
  end if;
  if longest > 131071 or n_bytes > 1966080 then
    perform asman.refuse('invalid-command', what
      || ' is larger than a process can take: 131071 bytes for one argument, 1966080 for all; put it into a file');
  end if;
  return n_bytes;
end $$;

-- Refuse a name that does not fit into a URL segment or a log line.
create or replace function asman.check_name(what text, name text) returns void
language plpgsql as $$
begin
  if coalesce(name, '') = '' then perform asman.refuse('invalid-name', what || ' is empty'); end if;
  if length(name) > 255 then perform asman.refuse('invalid-name', what || ' is longer than 255 characters'); end if;
  if name ~ '[\u0001-\u001f\u007f-\u009f/]' then
    perform asman.refuse('invalid-name', what || ' contains a slash, a backslash or a control character; choose another');
  end if;
  -- URL parsers take these names as the current folder or the folder above.
  if name ~* '^(\.|%2e){1,2}$' then
    perform asman.refuse('invalid-name', what || ' is one or two dots, which a URL cannot contain; choose another');
  end if;
end $$;

-- Refuse a file name that could lie outside its folder.
create or replace function asman.check_path(path text, is_config bool) returns void
language plpgsql as $$
declare
  below constant text := case when is_config then regexp_replace(path, '^/', '') else path end;
begin
  if not is_config and path like '/%' then
    perform asman.refuse('invalid-path', format('file name "%s" is absolute; give a relative path such as a/b.txt', path));
  end if;
  if below = '' then perform asman.refuse('invalid-path', 'a file name is empty'); end if;
  if octet_length(below) > 1024 or exists (select from regexp_split_to_table(below, '/') s (s) where octet_length(s) > 255) then
    perform asman.refuse('invalid-path', format('file name "%s"… is too long', left(path, 40)));
  end if;
  if below ~ '(^|/)(|\.|\.\.)(/|$)' or below ~ '[\u0001-\u001f\u007f-\u009f\\]' then
    perform asman.refuse('invalid-path', format('file name "%s" is not usable: a part of it is empty, . or .., or contains a backslash or a control character; use a path such as a/b.txt', path));
  end if;
end $$;

-- Refuse a member that has none of these types. Absent members and null are accepted.
create or replace function asman.check_type(value jsonb, name text, variadic types text[]) returns void
language plpgsql as $$
begin
  if value -> name <> 'null' and jsonb_typeof(value -> name) <> all (types) then
    perform asman.refuse('unreadable-definition', format('the definition cannot be read: %s must be %s', name, array_to_string(types, ' or ')));
  end if;
end $$;

-- Whether a text is base64. White space and missing padding are accepted, and so are both alphabets.
create or replace function asman.is_base64(value text) returns bool
language sql immutable parallel safe as $$
  select c ~ '^[A-Za-z0-9+/_-]*={0,2}$' and length(rtrim(c, '=')) % 4 <> 1 and (right(c, 1) <> '=' or length(c) % 4 = 0)
  from regexp_replace(value, '[ \t\n\r\f]', '', 'g') c
$$;

-- Refuse the files of one member when there are too many, when a name is invalid, or when a value is not a data ref.
create or replace function asman.check_refs(definition jsonb, name text) returns void
language plpgsql as $$
declare
  file record;
begin
  perform asman.check_type(definition, name, 'object');
  if jsonb_typeof(definition -> name) is distinct from 'object' then return; end if;
  if (select count(*) from jsonb_object_keys(definition -> name)) > 1000 then
    perform asman.refuse('too-many-entries', format('the definition has more than 1000 %s', name));
  end if;
  for file in select key, value from jsonb_each(definition -> name) loop
    perform asman.check_path(file.key, name = 'configFiles');
    if jsonb_typeof(file.value) <> 'object' or not file.value ? 'value' then
      perform asman.refuse('unreadable-definition', format('the definition cannot be read: file "%s" has no value', file.key));
    end if;
    if file.value -> 'type' not in ('null', '"base64"', '"url"', '"utf8"', '"json"', '"key"')
      or (file.value -> 'hash' <> 'null' and jsonb_typeof(file.value -> 'hash') <> 'string') then
      perform asman.refuse('unreadable-definition', format('the definition cannot be read: file "%s" has an unknown type or a hash that is no text', file.key));
    end if;
    if file.value ->> 'type' = 'base64'
      and (jsonb_typeof(file.value -> 'value') <> 'string' or not asman.is_base64(file.value ->> 'value')) then
      perform asman.refuse('invalid-base64', format('the value of file "%s" is not base64, as its type says', left(file.key, 40)));
    end if;
    if file.value ->> 'type' = 'url'
      and (jsonb_typeof(file.value -> 'value') <> 'string' or file.value ->> 'value' !~* '^(https?://[^/?#\\]|data:)') then
      perform asman.refuse('invalid-url',
        format('the value of file "%s" is not an http, https or data URL, as its type says', left(file.key, 40)));
    end if;
  end loop;
end $$;

-- Refuse a file whose name is also the folder of another file. Config files with relative names are placed among the inputs.
create or replace function asman.check_nesting(d jsonb) returns void
language plpgsql as $$
declare
  names constant text[] := array(
    select jsonb_object_keys(case when jsonb_typeof(d -> 'inputs') = 'object' then d -> 'inputs' else '{}' end)
    union select regexp_replace(k, '^/inputs/', '')
    from jsonb_object_keys(case when jsonb_typeof(d -> 'configFiles') = 'object' then d -> 'configFiles' else '{}' end) k);
  nested record;
begin
  -- For each name this tests the folders above it. So the cost grows with the number of names and not with the number of pairs of
  -- names.
  select f.folder, n.name into nested
  from unnest(names) n (name), string_to_array(n.name, '/') s (segments),
    lateral (select array_to_string(s.segments[:i], '/') from generate_series(1, cardinality(s.segments) - 1) i) f (folder)
  where f.folder = any (names) order by n.name collate "C", length(f.folder) limit 1;
  if found then
    perform asman.refuse('invalid-path', format('file "%s" is a folder too: "%s" is below it; give one of them another name',
      left(nested.folder, 40), left(nested.name, 40)));
  end if;
end $$;

-- Refuse a path that is not below the context of a build.
create or replace function asman.check_build_path(build jsonb, name text) returns void
language plpgsql as $$
declare
  written constant text := btrim(build ->> name, E' \t\r\n');
  plain constant text := rtrim(regexp_replace(written, '^\./', ''), '/');
begin
  if coalesce(written, '') = '' or (written <> '/' and plain in ('', '.')) then return; end if;
  if plain ~ '^/|(^|/)(|\.|\.\.)(/|$)|(^|/)-|[\u0001-\u001f\u007f-\u009f\\]' or octet_length(plain) > 1024
    or exists (select from regexp_split_to_table(plain, '/') s (s) where octet_length(s) > 255) then
    perform asman.refuse('invalid-build', format(
      'build: %s "%s" is not a path below the context; use plain segments such as docker/app', name, left(written, 60)));
  end if;
end $$;

-- Refuse a build block that cannot be built, as `protocol::BuildBlock` does in Rust. An empty build block is allowed beside an
-- image.
create or replace function asman.check_build(d jsonb) returns void
language plpgsql as $$
declare
  build constant jsonb := d -> 'build';
  context constant text := nullif(btrim(build ->> 'context', E' \t\r\n'), '');
  dockerfile constant text := build ->> 'dockerfile';
  argument text;
  n_args int;
  n_bytes int;
begin
  if jsonb_typeof(build) is distinct from 'object' then return; end if;
  if coalesce(btrim(dockerfile, E' \t\r\n'), '') = '' and context is null then
    if coalesce(btrim(d ->> 'image', E' \t\r\n'), '') = '' then
      perform asman.refuse('invalid-build',
        'build: the build block has neither a dockerfile nor a context; give one of them, or an image');
    end if;
    return;
  end if;
  if octet_length(dockerfile) > 262144 then perform asman.refuse('invalid-build', 'build: the Dockerfile is larger than 256 KiB'); end if;
  if octet_length(context) > 2048 then
    perform asman.refuse('invalid-build', 'build: the build context''s URL is longer than 2048 bytes');
  end if;
  if context !~* '^https?://[^/?#\\]' or context ~ '[[:space:]\u0001-\u001f\u007f-\u009f]' then
    perform asman.refuse('invalid-build',
      'build: the build context is not an http or https URL; give that of a git repository or an archive');
  end if;
  perform asman.check_build_path(build, 'buildContext');
  if context is null and btrim(build ->> 'buildContext', E' \t\r\n') !~ '^(\.?/?)*$' then
    perform asman.refuse('invalid-build', 'build: buildContext names a folder of the context, but there is no context; give context too');
  end if;
  perform asman.check_build_path(build, 'filename');
  if btrim(build ->> 'target', E' \t\r\n') !~ '^([A-Za-z0-9][A-Za-z0-9._-]{0,127})?$' then
    perform asman.refuse('invalid-build', format(
      'build: target "%s" is not a name; use letters, digits, dots, dashes and underscores', left(build ->> 'target', 60)));
  end if;
  if btrim(build ->> 'platform', E' \t\r\n') !~ '^([A-Za-z0-9][A-Za-z0-9._/-]{0,127})?$' then
    perform asman.refuse('invalid-build', format(
      'build: platform "%s" is not a name; use letters, digits, dots, dashes and underscores', left(build ->> 'platform', 60)));
  end if;
  if jsonb_typeof(build -> 'buildArgs') is distinct from 'array' then return; end if;
  if jsonb_path_exists(build, '$.buildArgs[*] ? (@.type() != "string")') then
    perform asman.refuse('unreadable-definition', 'the definition cannot be read: build.buildArgs must be strings');
  end if;
  select count(*), sum(octet_length(a)) into n_args, n_bytes from jsonb_array_elements_text(build -> 'buildArgs') a;
  if n_args > 100 or n_bytes > 65536 then
    perform asman.refuse('invalid-build', 'build: there are more than 100 build arguments, or more than 64 KiB of them');
  end if;
  for argument in select a from jsonb_array_elements_text(build -> 'buildArgs') a where btrim(a, E' \t\r\n') <> '' loop
    if argument !~ '^\s*[A-Za-z_][A-Za-z0-9_]*\s*=' then
      perform asman.refuse('invalid-build',
        'build: a build argument is written NAME=value, with a name of letters, digits and underscores');
    end if;
  end loop;
end $$;

-- Refuse a job that can never run, as `protocol::runnable` does in Rust.
create or replace function asman.check_runnable(d jsonb) returns void
language plpgsql as $$
declare
  variable record;
  n_bytes int8 := 0;
  memory int8;
begin
  if asman.known_build(d) is null then perform asman.check_image(d ->> 'image'); end if;
  n_bytes := asman.check_command_line(d ->> 'entrypoint', 'entrypoint', false)
    + asman.check_command_line(d ->> 'command', 'command', coalesce(btrim(d ->> 'entrypoint', E' \t\r\n'), '') <> '');
  for variable in select key, octet_length(key) + 1 + octet_length(value) as length
    from jsonb_each_text(case when jsonb_typeof(d -> 'env') = 'object' then d -> 'env' else '{}' end)
  loop
    if variable.length > 131071 then
      perform asman.refuse('invalid-environment', format('environment variable "%s" is larger than a process can take: '
        '131071 bytes with its name; put it into a file', left(variable.key, 40)));
    end if;
    n_bytes := n_bytes + coalesce(variable.length, 0) + 9;
  end loop;
  if n_bytes > 1966080 then
    perform asman.refuse('invalid-environment',
      'env and command together are larger than a process can take: 1966080 bytes; put them into files');
  end if;
  if d ->> 'workdir' <> '' and (d ->> 'workdir' not like '/%' or octet_length(d ->> 'workdir') > 4095) then
    perform asman.refuse('invalid-workdir', 'workdir must be an absolute path without NUL, such as /work');
  end if;
  perform asman.run_seconds(d -> 'maxDuration', 'maxDuration');
  perform asman.run_seconds(d -> 'requirements' -> 'maxDuration', 'requirements.maxDuration');
  memory := asman.size_bytes(d -> 'requirements' -> 'memory', 'requirements.memory');
  if memory > 0 and memory < 6291456 then
    perform asman.refuse('invalid-size', 'requirements.memory is less than 6m, which is too small for a container; write the unit, '
      'as in 512m, because a bare number means bytes');
  end if;
  perform asman.check_nesting(d);
  perform asman.check_build(d);
end $$;

create or replace function asman.check_definition(d jsonb) returns void
language plpgsql as $$
declare
  name text;
begin
  if d is null or jsonb_typeof(d) <> 'object' then perform asman.refuse('unreadable-definition', 'the definition cannot be read: it is not a JSON object'); end if;
  if octet_length(d::text) > 1048576 then
    perform asman.refuse('definition-too-large', 'the definition is larger than 1024 KiB; upload large inputs with PUT /f/<key>');
  end if;
  foreach name in array array['image', 'command', 'entrypoint', 'workdir'] loop perform asman.check_type(d, name, 'string'); end loop;
  foreach name in array array['build', 'env', 'requirements'] loop perform asman.check_type(d, name, 'object'); end loop;
  perform asman.check_type(d, 'tags', 'array');
  perform asman.check_type(d, 'secrets', 'array');
  if coalesce(btrim(d ->> 'image', E' \t\r\n'), '') = '' and asman.known_build(d) is null then
    perform asman.refuse('no-image', 'the definition has neither image nor build; give one of them');
  end if;
  foreach name in array array['context', 'buildContext', 'filename', 'target', 'dockerfile', 'platform'] loop
    perform asman.check_type(d -> 'build', name, 'string');
  end loop;
  perform asman.check_type(d -> 'build', 'buildArgs', 'array');
  perform asman.check_refs(d, 'inputs');
  perform asman.check_refs(d, 'configFiles');
  perform asman.size_bytes(d -> 'shmSize', 'shmSize');
  perform asman.check_runnable(d);
  for name in select k from jsonb_object_keys(case when jsonb_typeof(d -> 'env') = 'object' then d -> 'env' else '{}' end) k loop
    if name = '' or name like '%=%' then
      perform asman.refuse('invalid-environment', format('environment variable "%s" has an empty name, an equals sign or a NUL in it', left(name, 40)));
    end if;
  end loop;
  if jsonb_typeof(d -> 'env') = 'object' and (select count(*) from jsonb_object_keys(d -> 'env')) > 1000 then
    perform asman.refuse('too-many-entries', 'the definition has more than 1000 environment variables');
  end if;
  if jsonb_typeof(d -> 'tags') = 'array' then
    if jsonb_array_length(d -> 'tags') > 32 then perform asman.refuse('too-many-entries', 'the definition has more than 32 tags'); end if;
    if jsonb_path_exists(d, '$.tags[*] ? (@.type() != "string")') then
      perform asman.refuse('unreadable-definition', 'the definition cannot be read: tags must be strings');
    end if;
    for name in select t from jsonb_array_elements_text(d -> 'tags') t loop
      begin
        perform asman.check_name('the namespace', name);
      exception when invalid_parameter_value then
        perform asman.refuse('invalid-tag', 'tags: ' || sqlerrm);
      end;
    end loop;
  end if;
  if jsonb_typeof(d -> 'secrets') = 'array' then
    if jsonb_array_length(d -> 'secrets') > 32 then perform asman.refuse('too-many-entries', 'the definition has more than 32 secrets'); end if;
    if jsonb_path_exists(d, '$.secrets[*] ? (@.type() != "string")') then
      perform asman.refuse('unreadable-definition', 'the definition cannot be read: secrets must be strings');
    end if;
    for name in select t from jsonb_array_elements_text(d -> 'secrets') t where t !~ '^[A-Za-z_][A-Za-z0-9_]{0,63}$' loop
      perform asman.refuse('invalid-secret', format(
        'secret "%s" is not a valid name; use up to 64 letters, digits and underscores, and do not begin with a digit', left(name, 40)));
    end loop;
  end if;
  foreach name in array array['cpus', 'gpus'] loop
    perform asman.check_type(d -> 'requirements', name, 'number');
    if (d -> 'requirements' ->> name)::numeric not between 0 and (case name when 'cpus' then 4096 else 1024 end) then
      perform asman.refuse('invalid-number', format('requirements.%s must be a number from 0 to %s', name, case name when 'cpus' then 4096 else 1024 end));
    end if;
  end loop;
  if (d -> 'requirements' ->> 'gpus')::numeric % 1 <> 0 then perform asman.refuse('invalid-number', 'requirements.gpus must be a whole number'); end if;
end $$;

-- The label of a platform such as `linux/arm64/v8`, as `protocol::labels` spells it. Null when the text does not name an
-- architecture.
create or replace function asman.platform_label(platform text) returns text
language plpgsql immutable parallel safe as $$
declare
  written constant text := lower(btrim(platform, E' \t\r\n'));
  parts text[] := string_to_array(written, '/');
  arch text;
begin
  if written is null or written !~ '^[a-z0-9._-]+(/[a-z0-9._-]+){0,2}$' or written in ('linux', 'windows', 'darwin', 'freebsd') then
    return null;
  end if;
  if cardinality(parts) = 1 then parts := array['linux'] || parts; end if;
  arch := array_to_string(parts[2:], '/');
  arch := case when arch in ('x86_64', 'x86-64', 'amd64') then 'amd64'
    when arch in ('aarch64', 'arm64', 'aarch64/v8', 'arm64/v8') then 'arm64' else replace(arch, '/', '-') end;
  return 'platform:' || parts[1] || '-' || arch;
end $$;

-- The labels that a definition requires of a worker, in addition to its tags: see `protocol::labels`.
create or replace function asman.implicit_labels_of(d jsonb) returns text[]
language sql immutable parallel safe
return array(
  select distinct l.label collate "C" from (
    select 'secret:' || s as label from jsonb_array_elements_text(
      case when jsonb_typeof(d -> 'secrets') = 'array' then d -> 'secrets' else '[]' end) s
    union all select asman.platform_label(d -> 'build' ->> 'platform') where jsonb_typeof(d -> 'build') = 'object'
    union all select 'builds' where asman.known_build(d) is not null
    union all select 'executor:process'
      where btrim(d ->> 'image', E' \t\r\n') = 'none' and asman.known_build(d) is null) l
  where l.label is not null order by 1);

-- What a job needs of a worker. `tags` are in their stored form, with the implicit labels behind an empty string. `class` is the
-- hash of the rest, spelled as in `sql::queued`, so that jobs from the API and jobs from SQL share a class when they need the
-- same.
create or replace function asman.needs_of(d jsonb, out cpus float8, out gpus int4, out memory_bytes int8, out required_seconds int4,
  out max_seconds int4, out tags text[], out class int8)
language plpgsql stable set extra_float_digits = 1 as $$
declare
  wants constant jsonb := d -> 'requirements';
  implicit constant text[] := asman.implicit_labels_of(d);
begin
  cpus := coalesce((wants ->> 'cpus')::float8, 1);
  gpus := coalesce((wants ->> 'gpus')::numeric, 0);
  memory_bytes := coalesce(asman.size_bytes(wants -> 'memory', 'requirements.memory'), 0);
  required_seconds := coalesce(ceil(asman.duration_seconds(wants -> 'maxDuration', 'requirements.maxDuration')), 0);
  max_seconds := coalesce(ceil(asman.duration_seconds(d -> 'maxDuration', 'maxDuration')), 86400);
  tags := array(select distinct t collate "C" from jsonb_array_elements_text(
    case when jsonb_typeof(d -> 'tags') = 'array' then d -> 'tags' else '[]' end) t order by 1);
  if cardinality(implicit) > 0 then tags := tags || ''::text || implicit; end if;
  class := ('x' || encode(substring(sha256(convert_to(concat_ws('|', cpus::text::numeric::text, gpus, memory_bytes, required_seconds,
    array_to_string(tags, '/')), 'UTF8')) for 8), 'hex'))::bit(64)::int8;
end $$;
