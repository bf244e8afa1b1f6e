-- Logins in the URLs of build contexts, as `protocol::login` removes them: a definition is stored without its login, and the
-- claim puts it back.

-- The URL's parts: the text before the login, the login, and the rest from the `@` on. Null when there is no login.
create or replace function asman.login_parts(definition jsonb) returns text[]
language sql immutable parallel safe
return regexp_match(case when jsonb_typeof(definition #> '{build,context}') = 'string' then definition #>> '{build,context}' end,
  '^(\s*[A-Za-z0-9+.-]+:[/\\]*)([^/?#\\]*)@(.*)$');

-- Stores the login of a definition under the definition's hash. Returns the definition without the login.
create or replace function asman.keep_login(definition jsonb, hash_in bytea) returns jsonb
language plpgsql set enable_seqscan = off as $$
declare
  parts constant text[] := asman.login_parts(definition);
begin
  if parts is null then return definition; end if;
  insert into asman.login (hash, login) values (hash_in, parts[2]) on conflict (hash) do update set used_at = now();
  return jsonb_set(definition, '{build,context}', to_jsonb(parts[1] || parts[3]));
end $$;
