-- The items that a claim would return next, in its order. Nothing changes.
-- in:    $1 qid uuid, $2 n_max int8, $3 bytes_max int8: as of claim.sql
-- out:   job_id text, body text
-- locks: none
-- index: waiting_class_place, waiting_class_pkey, queued_pkey
with head as (
  select k.class from (
    select c.class, f.priority, f.seq
    from asman.waiting_class c cross join lateral (
      select q.priority, q.seq from asman.queued q
      where q.qid = $1 and q.class = c.class and (q.not_before is null or q.not_before <= now())
      order by q.class, q.priority, q.seq limit 1) f
    where c.qid = $1 and (select p.is_paused from asman.queue p where p.qid = $1) is not true
      and (select true from asman.waiting_class d where d.class = c.class and (d.qid, d.priority, d.seq) >= (c.qid, '-32768', 0)
           and (d.qid, d.priority, d.seq) < (c.qid, c.priority, c.seq) limit 1) is null
    order by c.priority, c.seq limit 500) k
  order by k.priority, k.seq limit least($2::int8 + 4, 100)),
pick as (
  select q.* from head h cross join lateral (
    select q.class, q.priority, q.seq, q.job_id, q.definition_hash from asman.queued q
    where q.qid = $1 and q.class = h.class and (q.not_before is null or q.not_before <= now())
    order by q.class, q.priority, q.seq limit $2) q),
first as (select p.* from pick p order by p.priority, p.seq limit $2),
measured as (
  select f.priority, f.seq, f.job_id, f.body, row_number() over place as n, sum(octet_length(f.body)) over place as bytes
  from (select t.*, (select d.body from asman.definition d where d.hash = t.definition_hash) as body from first t) f
  window place as (order by f.priority, f.seq))
select m.job_id, m.body from measured m where m.n = 1 or m.bytes <= $3 order by m.priority, m.seq;
