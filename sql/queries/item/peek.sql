-- The items that a claim would return next, in its order. Nothing changes.
-- in:    $1 qid uuid, $2 n_max int8, $3 bytes_max int8: as of claim.sql
-- out:   job_id text, body text
-- locks: none
-- index: waiting_class_place, queued_pkey, job_pkey, definition_pkey
with pick as (
  select q.*, j.job_id, j.definition_hash from asman.classes_in_order($1, $2) h
  cross join lateral (
    select q.job_key, q.priority, q.seq from asman.queued q
    where q.qid = $1 and q.class = h.class and (q.not_before is null or q.not_before <= now())
    order by q.class, q.priority, q.seq limit $2) q
  cross join lateral (select k.job_id, k.definition_hash from asman.job k where k.key = q.job_key limit 1) j),
first as (select p.* from pick p order by p.priority, p.seq limit $2),
measured as (
  select f.priority, f.seq, f.job_id, f.body, row_number() over place as n, sum(octet_length(f.body)) over place as bytes
  from (select t.*, (select d.body from asman.definition d where d.hash = t.definition_hash) as body from first t) f
  window place as (order by f.priority, f.seq))
select m.job_id, m.body from measured m where m.n = 1 or m.bytes <= $3 order by m.priority, m.seq;
