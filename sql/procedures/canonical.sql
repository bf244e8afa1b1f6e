-- The canonical text of a JSON value, and the two job ids that are hashes of it. Browsers and `protocol::canonical` compute the
-- same.
--
-- Keys are sorted by UTF-16 code units, numbers printed as ECMAScript prints a double, strings escaped as JSON.stringify does.
-- What jsonb cannot hold (a NUL, half a surrogate pair) never reaches this code: the cast to jsonb refuses it. If an object has a
-- key twice, the last value counts, as in browsers.

-- A form of a key whose byte order is the order of UTF-16 code units, in which characters above U+FFFF sort before U+E000 to
-- U+FFFF.
create or replace function asman.utf16_order(key text) returns text
language sql immutable strict parallel safe
return case when key collate "C" ~ '[\uE000-\uFFFF\U0010FFFF]'
  then regexp_replace(replace(key, U&'\+10FFFF', U&'\+10FFFF\0001') collate "C", '([\uE000-\uFFFF])', U&'\+10FFFF\\1', 'g')
  else key end;

-- A number as ECMAScript prints it: with the fewest digits that read back to the same double, as `1e+21` from 1e21 on, as `1e-7`
-- below 1e-6.
create or replace function asman.ecmascript_number(value numeric) returns text
language plpgsql immutable strict parallel safe
set extra_float_digits = 1 as $$
declare
  printed text;
  sign text;
  digits text;
  n_digits int;
  point int;
  candidate numeric;
  shorter numeric;
begin
  begin
    printed := value::float8::text;
  exception when numeric_value_out_of_range then
    -- A number that is too small for a double becomes zero, as in every JSON parser.
    if abs(value) < 1 then return '0'; end if;
    raise exception 'the number % does not fit a double and therefore has no canonical form', left(value::text, 40)
      using errcode = 'numeric_value_out_of_range', detail = 'unreadable-definition';
  end;
  sign := case when printed like '-%' then '-' else '' end;
  printed := ltrim(printed, '-');
  digits := split_part(printed, 'e', 1);
  point := length(split_part(digits, '.', 1)) + coalesce(nullif(split_part(printed, 'e', 2), '')::int, 0);
  digits := replace(digits, '.', '');
  -- Leading zeros move the decimal point. Trailing zeros carry no information.
  point := point - (length(digits) - length(ltrim(digits, '0')));
  digits := trim(both '0' from digits);
  n_digits := length(digits);
  if n_digits = 0 then return '0'; end if;
  -- Many decimal numbers read back to the same double. PostgreSQL never prints the smallest or the largest of them. ECMAScript does
  -- if that number has fewer digits, as 4801626835524160000. This happens only between 2^53 and 2^53 times 5^23.
  while n_digits > 1 and abs(value) between 9007199254740992 and 1e40 loop
    shorter := null;
    foreach candidate in array array[left(digits, n_digits - 1)::numeric, left(digits, n_digits - 1)::numeric + 1] loop
      if (candidate::text || 'e' || (point - n_digits + 1))::float8 = abs(value)::float8 then shorter := candidate; end if;
    end loop;
    exit when shorter is null;
    point := point + length(shorter::text) - (n_digits - 1);
    digits := rtrim(shorter::text, '0');
    n_digits := length(digits);
  end loop;
  return sign || case
    when n_digits <= point and point <= 21 then digits || repeat('0', point - n_digits)
    when 0 < point and point <= 21 then left(digits, point) || '.' || substr(digits, point + 1)
    when -6 < point and point <= 0 then '0.' || repeat('0', -point) || digits
    else left(digits, 1) || case when n_digits > 1 then '.' || substr(digits, 2) else '' end || 'e'
      || case when point > 0 then '+' else '-' end || abs(point - 1) end;
end $$;

create or replace function asman.canonical_json(value jsonb) returns text
language plpgsql immutable strict parallel safe as $$
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
comment on function asman.canonical_json(jsonb) is 'The one text of a JSON value: what browsers and the API hash.';

-- A data ref without the parts that do not change the work: the member `hash`, and the signature of a presigned URL.
create or replace function asman.stripped_ref(reference jsonb) returns jsonb
language plpgsql immutable strict parallel safe as $$
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

-- The parts of the files that count in the job's id: the value and the type of each file. Null when there are no files. A value that
-- is not an object is returned unchanged.
create or replace function asman.counted_refs(refs jsonb) returns jsonb
language sql immutable parallel safe as $$
  select case when jsonb_typeof(refs) <> 'object' then refs else (
    select jsonb_object_agg(r.key, case when jsonb_typeof(r.value) <> 'object' then r.value else coalesce(
      (select jsonb_object_agg(m.key, m.value) from jsonb_each(asman.stripped_ref(r.value)) m
       where m.key = 'value' or (m.key = 'type' and m.value <> 'null')), '{}') end)
    from jsonb_each(refs) r) end
$$;

-- The named members of an object that are not null. Null when there are none. A value that is not an object is returned unchanged.
create or replace function asman.known_members(value jsonb, names text[]) returns jsonb
language sql immutable parallel safe as $$
  select case when jsonb_typeof(value) = 'object'
    then (select jsonb_object_agg(m.key, m.value) from jsonb_each(value) m where m.key = any (names) and m.value <> 'null') else value end
$$;

-- The parts of a build block that count in the job's id. Null when there is nothing to build.
create or replace function asman.known_build(definition jsonb) returns jsonb
language sql immutable parallel safe as $$
  select nullif(asman.known_members(definition -> 'build',
    '{context,buildContext,filename,target,dockerfile,buildArgs,platform}'), 'null')
$$;

-- The part of a definition's member that counts in the job's id. Null when no part does.
create or replace function asman.counted_member(definition jsonb, name text) returns jsonb
language sql immutable parallel safe as $$
  select nullif(case
    when name in ('v', 'image', 'command', 'entrypoint', 'workdir', 'shmSize', 'maxDuration', 'tags') then definition -> name
    when name = 'build' then asman.known_build(definition)
    when name = 'requirements' then asman.known_members(definition -> name, '{cpus,gpus,maxDuration,memory}')
    when name in ('inputs', 'configFiles') then asman.counted_refs(definition -> name)
    -- Variables of the page that embeds a client do not belong to the job.
    when name = 'env' and jsonb_typeof(definition -> name) = 'object' then
      (select jsonb_object_agg(v.key, v.value) from jsonb_each(definition -> name) v
       where v.key !~ '^mp[-_]' and v.key not in ('channel', 'CHANNEL', 'readonly', 'edit', 'parent-metapage-id', 'fs-path'))
    when name = 'env' then definition -> name
    -- Existing clients do not send this member, so an empty list must give the same id as no list.
    when name = 'secrets' then nullif(definition -> name, '[]') end, 'null')
$$;

create or replace function asman.job_id(definition jsonb) returns text
language plpgsql immutable strict parallel safe as $$
declare
  counted jsonb := definition;
begin
  if jsonb_typeof(definition) = 'object' then
    select coalesce(jsonb_object_agg(m.name, m.counted), '{}') into counted
    from (select k.name, asman.counted_member(definition, k.name) as counted from jsonb_object_keys(definition) k (name)) m
    where m.counted is not null;
  end if;
  return encode(sha256(convert_to(asman.canonical_json(counted), 'UTF8')), 'hex');
end $$;
comment on function asman.job_id(jsonb) is 'Id of a definition: the hash of the canonical JSON of the parts that change the work.';

create or replace function asman.old_job_id(definition jsonb) returns text
language plpgsql immutable strict parallel safe as $$
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
      -- Each is removed if JavaScript counts its value as true.
      foreach name in array array['channel', 'CHANNEL'] loop
        if definition -> 'env' -> name not in ('null', 'false', '0', '""') then stripped := stripped #- array['env', name]; end if;
      end loop;
    end if;
  end if;
  return encode(sha256(convert_to(asman.canonical_json(stripped), 'UTF8')), 'hex');
end $$;
comment on function asman.old_job_id(jsonb) is 'Id of a definition by the rule of clients up to 0.54.80. For the id by today''s rule use asman.job_id.';
