-- Numbers that are decisions of the product, each defined once. They are inlined into the statements that use them. A number that
-- differs between instances is a parameter of the statement instead.

-- How long a delivery is tried.
create or replace function asman.delivery_lifetime() returns interval
language sql immutable parallel safe return interval '24 hours';

-- The longest run of a container job (`protocol::limits::DURATION_MAX`) plus one day.
create or replace function asman.longest_run() returns interval
language sql immutable parallel safe return interval '31 days';

-- How long the row of a worker stays after its last sign of life.
create or replace function asman.worker_memory() returns interval
language sql immutable parallel safe return interval '1 hour';

-- How long a job continues after a newer job took its namespace. A user may be watching a job that has run for long.
-- in:    when it was claimed; null: it waits
create or replace function asman.supersession_grace(claimed_at timestamptz) returns interval
language sql stable parallel safe
return case
  when claimed_at < now() - interval '60 seconds' then interval '8 seconds'
  when claimed_at < now() - interval '20 seconds' then interval '4 seconds'
  else interval '0' end;

-- The pause after a failure. It doubles with each failure. It is randomly up to a quarter shorter or longer, so that jobs of one
-- failure do not come back together.
-- in:    the first pause, seconds; how many failures there were before, of which ten count
create or replace function asman.pause_after(first_seconds float8, n_before int) returns interval
language sql volatile
return make_interval(secs => first_seconds * power(2, least(n_before, 10)) * (0.75 + random() / 2));
