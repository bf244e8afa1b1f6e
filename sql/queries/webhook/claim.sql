-- Take deliveries that are due, some of each host, and leave them alone for a while: whoever takes them tries them at once.
-- A "finished" waits until the "queued" of its hold has been tried.
-- in:    $1 host text[], $2 n_busy int4[]: tries under way here; $3 n_host_max int4: most of one host, those included;
--        $4 n_max int4: most in all; $5 after text: hosts up to this one had their turn; $6 lease_seconds float8
-- out:   id uuid, job_id text, queue text, namespace text, kind text, url text, host text, payload text, reason text,
--        status_code int8, n_attempts int4, secret text: the queue's, if it has one
-- locks: the rows taken; others' are skipped
-- index: webhook_due: one hop a host, then the first of each; webhook_untold
with recursive hop (host) as (
  (select w.host from asman.webhook w where w.due_at is not null and w.host > $5::text order by w.host limit 1)
  union all
  select (select w.host from asman.webhook w where w.due_at is not null and w.host > h.host order by w.host limit 1)
  from hop h where h.host is not null),
pick as materialized (
  select d.id from hop h left join unnest($1::text[], $2::int4[]) as b (host, n_busy) on b.host = h.host
  cross join lateral (
    select w.id from asman.webhook w where w.host = h.host and w.due_at <= now()
      and (w.kind = 'queued' or not exists (
        select from asman.webhook s where s.job_id = w.job_id and s.qid = w.qid and s.due_at is not null
          and s.namespace = w.namespace and s.kind = 'queued' and s.last_error is null))
    order by w.due_at limit greatest($3::int4 - coalesce(b.n_busy, 0), 0) for update of w skip locked) d
  limit $4::int4),
taken as (
  update asman.webhook w set due_at = now() + make_interval(secs => $6::float8), n_attempts = w.n_attempts + 1
  from pick p where w.id = p.id
  returning w.*)
select t.id, t.job_id, t.queue, t.namespace, t.kind, t.url, t.host, t.payload::text as payload, t.reason, t.status_code,
  t.n_attempts, (select q.webhook_secret from asman.queue q where q.qid = t.qid) as secret
from taken t;
