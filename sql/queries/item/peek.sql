-- The items that a claim would give next, in its order; nothing moves.
-- in:    $1 qid uuid, $2 n_max int8, $3 bytes_max int8: as of claim.sql
-- out:   job_id text, body text
-- locks: none
-- index: queued_pkey
with recursive head as (
  select f.class, 1 as n from (
    select q.class from asman.queued q
    where q.qid = $1 and (select p.is_paused from asman.queue p where p.qid = $1) is not true
    order by q.class, q.priority, q.seq limit 1) f
  union all
  select f.class, h.n + 1 from head h cross join lateral (
    select q.class from asman.queued q where q.qid = $1 and q.class > h.class order by q.class, q.priority, q.seq limit 1) f
  where h.n < 100),
pick as (
  select q.* from head h cross join lateral (
    select q.class, q.priority, q.seq, q.job_id, q.definition_hash from asman.queued q
    where q.qid = $1 and q.class = h.class and (q.not_before is null or q.not_before <= now())
    order by q.priority, q.seq limit $2) q),
first as (select p.* from pick p order by p.priority, p.seq limit $2),
measured as (
  select f.priority, f.seq, f.job_id, d.body, row_number() over place as n, sum(octet_length(d.body)) over place as bytes
  from first f left join asman.definition d on d.hash = f.definition_hash window place as (order by f.priority, f.seq))
select m.job_id, m.body from measured m where m.n = 1 or m.bytes <= $3 order by m.priority, m.seq;
