-- Note how tries went: what was delivered is forgotten, the rest is due again later, or given up when its time is over.
-- A failed try of a row that somebody else has taken since is left alone.
-- in:    $1 id uuid[], $2 n_attempts int4[]: which try it was, $3 error text[]: null when delivered;
--        $4 first_seconds float8, $5 most_seconds float8: the pause after the first try doubles up to this
-- out:   id uuid, is_given_up bool: the rows that are gone
-- locks: these rows
-- index: webhook_pkey
with said as (select * from unnest($1::uuid[], $2::int4[], $3::text[]) as s (id, n_attempts, error)),
gone as (
  delete from asman.webhook w using said s
  where w.id = s.id and (s.error is null or (w.n_attempts = s.n_attempts and w.expires_at <= now()))
  returning w.id, s.error is not null as is_given_up),
later as (
  update asman.webhook w set last_error = s.error, due_at = least(w.expires_at, now() + make_interval(secs =>
    least($5::float8, $4::float8 * power(2, least(w.n_attempts, 30) - 1) * (1 + random() / 4))))
  from said s where w.id = s.id and s.error is not null and w.n_attempts = s.n_attempts and w.expires_at > now())
select id, is_given_up from gone;
