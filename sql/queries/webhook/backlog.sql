-- How many deliveries wait to be tried, and how long the oldest has waited.
-- in:    nothing
-- out:   n_due int8: should be tried now; n_retried int8: failed and wait for their next try; oldest_seconds float8
-- locks: none
-- index: reads all that is due
select count(*) filter (where w.due_at <= now()) as n_due,
  count(*) filter (where w.due_at > now() and w.last_error is not null) as n_retried,
  coalesce(extract(epoch from now() - min(w.due_at) filter (where w.due_at <= now())), 0)::float8 as oldest_seconds
from asman.webhook w where w.due_at is not null;
