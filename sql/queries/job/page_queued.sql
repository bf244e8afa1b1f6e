-- A page of the jobs of a queue that wait, the last submitted first. In the index each class and priority is a separate list. The
-- page is merged from the ends of these lists.
-- in:    $1 qid uuid, $2 before_seq int8: the last row of the page before, null for the first page, $3 n_max int8,
--        $4 body_bytes int4: most bytes of a definition that is shown
-- out:   job_id text, is_item bool, body text: null when it is larger, and for an item, place int8: the number of the job,
--        queued_ms int8, claimed_ms int8, finished_ms int8, worker_id text, attempt int2, reason text, message text, status_code
--        int8, duration_ms float8
-- locks: none
-- index: queued_pkey, job_pkey, definition_pkey: reads one page of each of the first 1,000 lists at most
with recursive list as (
  (select q.class, q.priority, 1 as n from asman.queued q where q.qid = $1 order by q.class, q.priority limit 1)
  union all
  select f.class, f.priority, l.n + 1 from list l cross join lateral (
    select q.class, q.priority from asman.queued q where q.qid = $1 and (q.class, q.priority) > (l.class, l.priority)
    order by q.class, q.priority limit 1) f
  where l.n < 1000),
page as (
  select v.* from list l cross join lateral (
    select q.* from asman.queued q
    where q.qid = $1 and q.class = l.class and q.priority = l.priority and q.seq < coalesce($2::int8, 9223372036854775807)
    order by q.seq desc limit $3) v
  order by v.seq desc limit $3)
select p.job_id, p.is_item, (select e.body from asman.definition e
    where e.hash = p.definition_hash and octet_length(e.body) <= $4::int4 and not p.is_item) as body,
  p.seq as place, (extract(epoch from p.queued_at) * 1000)::int8 as queued_ms, null::int8 as claimed_ms, null::int8 as finished_ms,
  null::text as worker_id, p.attempt, null::text as reason, null::text as message, null::int8 as status_code, null::float8 as duration_ms
from (
  select g.seq, g.attempt, j.job_id, j.class = 0 as is_item, j.definition_hash, j.queued_at
  from page g cross join lateral (select k.* from asman.job k where k.key = g.job_key limit 1) j) p
order by p.seq desc;
