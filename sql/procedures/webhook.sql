-- Deliveries that wait for the end of a job become due when the job ends, in the same transaction and for every kind of end.
-- in:    the rows that a statement added to asman.finished
-- out:   nothing
-- locks: the webhooks of these jobs
-- index: webhook_job
create or replace function asman.make_webhooks_due() returns trigger
language plpgsql
-- Every finish runs this, and most jobs have no webhook. It costs two index look-ups, regardless of the statistics.
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
begin
  update asman.webhook w
  set due_at = now(), expires_at = now() + asman.delivery_lifetime(), reason = e.reason, status_code = e.status_code
  from ended e where w.job_key = e.job_key and w.kind = 'finished' and w.due_at is null;
  return null;
end $$;

do $$
begin
  if not exists (select from pg_trigger where tgrelid = 'asman.finished'::regclass and tgname = 'finished_makes_webhooks_due') then
    create trigger finished_makes_webhooks_due after insert on asman.finished
      referencing new table as ended for each statement execute function asman.make_webhooks_due();
  end if;
end $$;

-- Take deliveries that are due, some of each host. The caller tries them at once, and no other process takes them until a lease
-- ends. A "finished" delivery waits until the "queued" delivery of its hold has been tried.
-- in:    hosts, n_busy: tries under way there; n_host_max: most of one host, those included; n_max: most in all; after: hosts up
--        to this one had their turn
-- out:   the deliveries, with the queue's secret, if it has one; job_id is the id by which the submitter knows the job
-- locks: the taken rows; rows that another process has locked are skipped
-- index: webhook_due: one hop a host, then the first of each; webhook_untold; webhook_pkey
create or replace function asman.claim_webhooks(
  hosts text[], n_busy int4[], n_host_max int4, n_max int4, after text, lease_seconds float8)
returns table (id uuid, job_id text, queue text, namespace text, kind text, url text, host text, payload text, reason text,
  status_code int8, n_attempts int4, secret text)
language plpgsql
-- A plan that was made for an empty outbox would read all of a full one (measured with 10,000 in it: 12 ms against 0.4 ms).
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_sort = off set enable_bitmapscan = off as $$
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
          select from asman.webhook s where w.kind = 'finished' and s.job_key = w.job_key and s.due_at is not null
            and s.namespace = w.namespace and s.kind = 'queued' and s.last_error is null)
      order by w.due_at limit greatest(n_host_max - coalesce(b.n, 0), 0) for update of w skip locked) d
    limit n_max),
  taken as (
    update asman.webhook w set due_at = now() + make_interval(secs => lease_seconds), n_attempts = w.n_attempts + 1
    from pick p where w.id = p.id
    returning w.*)
  select t.id, coalesce(t.sent_id, t.job_id), t.queue, t.namespace, t.kind, t.url, t.host, t.payload::text, t.reason, t.status_code, t.n_attempts,
    (select p.webhook_secret from asman.policy p where p.qid = t.qid)
  from taken t;
end $$;

-- Store the results of tries. A delivery that succeeded is deleted. One that failed becomes due again later. It is given up and
-- deleted when its time is over or the receiver refused further tries. If another process has taken the row since, a failed try is
-- ignored.
-- in:    arrays of one length, one element a try; errors: null when delivered; pauses: what receivers asked for, bounded by the
--        delivery's time; refusals: no further try; the usual pause after the first try, which doubles, and the longest
-- out:   the rows that are gone
-- locks: these rows; no two senders have the same rows, so they never wait long for each other
-- index: webhook_pkey
create or replace function asman.settle_webhooks(
  ids uuid[], tries int4[], errors text[], pauses float8[], refusals bool[], first_seconds float8, most_seconds float8)
returns table (id uuid, is_given_up bool)
language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
begin
  return query
  with said as (select * from unnest(ids, tries, errors, pauses, refusals) as s (id, n_attempts, error, pause, is_refused)),
  gone as (
    delete from asman.webhook w using said s
    where w.id = s.id and (s.error is null or (w.n_attempts = s.n_attempts and (s.is_refused or w.expires_at <= now())))
    returning w.id, s.error is not null as is_given_up),
  later as (
    update asman.webhook w set last_error = s.error, due_at = least(w.expires_at, now() + make_interval(secs => case
      when s.pause is not null then least(greatest(s.pause, 1), 86400)
      else least(most_seconds, first_seconds * power(2, least(w.n_attempts, 30) - 1) * (1 + random() / 4)) end))
    from said s where w.id = s.id and s.error is not null and w.n_attempts = s.n_attempts and not s.is_refused and w.expires_at > now())
  select g.id, g.is_given_up from gone g;
end $$;
