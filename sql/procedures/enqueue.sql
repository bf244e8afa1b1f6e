-- For SQL users: queue a job, as `POST /q/<queue>` does. The job runs, and browsers see it, once the transaction commits.
-- in:    control: `namespace`, `maxDuration`, `callbacks`, `again`, as in the body of a submission
-- out:   the job's id
-- raises: invalid_parameter_value with one sentence; program_limit_exceeded when a limit of the queue's policy is reached. The
-- detail is the API's error code (`protocol::ErrorCode`).
-- locks: as asman.submit_within_limits, until the caller's transaction ends: commit soon
create or replace function asman.enqueue(queue text, definition jsonb, control jsonb default '{}') returns text
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
declare
  key uuid;
  id text;
  old_id text;
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
  if jsonb_typeof(coalesce(control, '{}')) <> 'object' then perform asman.refuse('invalid-body', 'control is not a JSON object'); end if;
  if jsonb_typeof(control -> 'namespace') not in ('string', 'null') then perform asman.refuse('invalid-body', 'the namespace is not a text'); end if;
  if jsonb_typeof(control -> 'again') not in ('boolean', 'null') then perform asman.refuse('invalid-body', 'again is not true or false'); end if;
  perform asman.check_name('the namespace', held_by);
  if held_by = '*' then perform asman.refuse('reserved-namespace', 'the namespace * means all and cannot hold a job; choose a name'); end if;
  owed := asman.callbacks_of(control);
  key := asman.qid(queue);
  id := asman.job_id(definition);
  hash := sha256(convert_to(asman.canonical_json(definition), 'UTF8'));
  text_of_it := asman.canonical_json(asman.keep_login(definition, hash));
  old_id := asman.old_job_id(definition);
  if old_id <> id then perform asman.keep_aliases(array[hash], array[old_id], array[id]); end if;
  needs := asman.needs_of(definition);
  longest := asman.run_seconds(control -> 'maxDuration', 'control.maxDuration');
  select s.outcome, s.job_id into result, id from asman.submit_within_limits(array[row(key, id, hash, text_of_it, held_by, true, false,
    needs.class, 0, needs.cpus, needs.gpus, needs.memory_bytes, needs.required_seconds, least(needs.max_seconds, ceil(longest)::int4),
    array_to_string(needs.tags, '/'), case when owed is not null then queue end, owed::text, (control ->> 'again')::bool,
    null)::asman.submission]) s;
  if result in ('queue full', 'namespace full') then
    raise exception 'the % has no room for another job; try again later', replace(result, ' full', '')
      using errcode = 'program_limit_exceeded', detail = replace(result, ' ', '-');
  end if;
  perform asman.tell(key, 3);
  return id;
end $$;
comment on function asman.enqueue(text, jsonb, jsonb) is 'Queue a job and return its id. Sending it again is harmless.';

-- The callbacks of a submission in the form that asman.submit expects. Null when there are none.
create or replace function asman.callbacks_of(control jsonb) returns jsonb
language plpgsql as $$
declare
  asked constant jsonb := control -> 'callbacks';
  owed jsonb := '{}';
  kind text;
begin
  if asked is null or asked = 'null' then return null; end if;
  foreach kind in array array['queued', 'finished'] loop
    continue when coalesce(asked -> kind, 'null') = 'null';
    if jsonb_typeof(asked -> kind -> 'url') is distinct from 'string' or asked -> kind ->> 'url' !~* '^https?://[^/]' then
      perform asman.refuse('invalid-callback', format('callbacks.%s has no http or https url', kind));
    end if;
    owed := owed || jsonb_build_object(kind, jsonb_strip_nulls(jsonb_build_object('url', asked -> kind -> 'url'))
      || case when asked -> kind ? 'payload' then jsonb_build_object('payload', asked -> kind -> 'payload') else '{}' end);
  end loop;
  return nullif(owed, '{}');
end $$;

-- Cancel a job in one namespace ('*': in all), as `POST /q/<queue>/j/<id>/cancel` does. Either of its true ids is accepted.
-- out:   'ended', 'left', 'absent', 'finished' or 'unknown', as of asman.cancel(uuid, …)
create or replace function asman.cancel(queue text, job_id text, namespace text default '_') returns text
language plpgsql set enable_seqscan = off set jit = off set plan_cache_mode = force_generic_plan as $$
declare
  key constant uuid := asman.qid(queue);
  result text;
begin
  perform asman.check_name('the queue name', queue);
  perform asman.check_name('the job id', job_id);
  perform asman.check_name('the namespace', namespace);
  result := asman.cancel(key, coalesce(asman.row_id(key, job_id), job_id), namespace, 'Cancelled', null::text);
  if result in ('ended', 'left') then perform asman.tell(key, 1); end if;
  return result;
end $$;
comment on function asman.cancel(text, text, text) is 'Cancel a job in one namespace. The job ends when no namespace holds it.';

-- Notify the API processes that a queue changed. The kinds are those of the API's hints: 1 states, 2 claimable, 16 policy.
create or replace function asman.tell(qid uuid, kinds int) returns void
language sql as $$ select pg_notify('asman', 'sql:' || encode(uuid_send(qid) || set_byte('\x00', 0, kinds), 'base64')) $$;
