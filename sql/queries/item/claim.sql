-- Claim the next items of a queue in its order, container jobs included. Such a claim lives until its deadline.
-- in:    $1 qid uuid, $2 worker_id text, $3 n_max int8, $4 lease_seconds float8 (null: until a client ends it),
--        $5 bytes_max int8: if the bodies exceed it together, fewer are claimed, but at least one
-- out:   job_id text, epoch int8, attempt int2, deadline_ms int8, body text, login text: in the order of the
--        queue
-- locks: the claimed queued rows, and in a queue of several classes rows looked at, for this statement; rows that another claim
--        has locked are skipped
-- index: waiting_class_place, queued_pkey, job_pkey, running_pkey, definition_pkey, login_pkey
with pick as materialized (
  select q.*, j.definition_hash from asman.classes_in_order($1, $3) h
  cross join lateral (
    select q.ctid as row_ctid, q.job_key, q.priority, q.seq from asman.queued q
    where q.qid = $1 and q.class = h.class and (q.not_before is null or q.not_before <= now())
    order by q.class, q.priority, q.seq limit $3 for update skip locked) q
  cross join lateral (select k.definition_hash from asman.job k where k.key = q.job_key limit 1) j),
numbered as (
  select p.*, row_number() over place as n,
    sum(octet_length((select d.body from asman.definition d where d.hash = p.definition_hash))) over place as bytes
  from pick p window place as (order by p.priority, p.seq)),
fit as materialized (select n.* from numbered n where n.n <= $3 and (n.n = 1 or n.bytes <= $5)),
gone as (
  delete from asman.queued q using fit f where q.ctid = f.row_ctid returning q.*),
claimed as (
  insert into asman.running (job_key, epoch, deadline, qid, worker_id, attempt, by_deadline, n_lost, n_released)
  select g.job_key, nextval('asman.epoch_seq'), coalesce(now() + make_interval(secs => $4), 'infinity'), g.qid, $2, g.attempt + 1, true,
    g.n_lost, g.n_released
  from (select o.* from gone o order by o.priority, o.seq) g
  where (select true from asman.running r where r.job_key = g.job_key limit 1) is null
  returning *),
noted as (
  insert into asman.event (qid, kind, worker_id, attempt, job_keys, epochs)
  select c.qid, 'claimed', c.worker_id, c.attempt, array_agg(c.job_key order by c.epoch), array_agg(c.epoch order by c.epoch)
  from (select r.*, (row_number() over (order by r.epoch) - 1) / 100 as part from claimed r) c group by c.qid, c.worker_id, c.attempt, c.part)
select j.job_id, c.epoch, c.attempt, case when isfinite(c.deadline) then (extract(epoch from c.deadline) * 1000)::int8 end as deadline_ms,
  (select d.body from asman.definition d where d.hash = j.definition_hash) as body,
  (select l.login from asman.login l where l.hash = j.definition_hash) as login
from claimed c cross join lateral (select k.* from asman.job k where k.key = c.job_key limit 1) j
order by j.priority, j.seq;
