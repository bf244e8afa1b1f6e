-- Claim the next items of a queue in its order, container jobs included. Such a claim lives until its deadline.
-- in:    $1 qid uuid, $2 worker_id text, $3 n_max int8, $4 lease_seconds float8 (null: until a client ends it),
--        $5 bytes_max int8: if the bodies exceed it together, fewer are claimed, but at least one
-- out:   job_id text, epoch int8, attempt int2, deadline_ms int8, body text, login text: in the order of the
--        queue
-- locks: the claimed queued rows, and in a queue of several classes rows looked at, for this statement; rows that another claim
--        has locked are skipped
-- index: waiting_class_place, waiting_class_pkey, queued_pkey, definition_pkey, login_pkey
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
  order by k.priority, k.seq limit least($3::int8 + 4, 100)),
pick as materialized (
  select q.* from head h cross join lateral (
    select q.qid, q.class, q.priority, q.seq, q.definition_hash from asman.queued q
    where q.qid = $1 and q.class = h.class and (q.not_before is null or q.not_before <= now())
    order by q.class, q.priority, q.seq limit $3 for update skip locked) q),
numbered as (
  select p.*, row_number() over place as n,
    sum(octet_length((select d.body from asman.definition d where d.hash = p.definition_hash))) over place as bytes
  from pick p window place as (order by p.priority, p.seq)),
fit as materialized (select n.* from numbered n where n.n <= $3 and (n.n = 1 or n.bytes <= $5)),
gone as (
  delete from asman.queued q using fit f where q.qid = any (array[f.qid]) and q.class = f.class and q.priority = f.priority and q.seq = f.seq
  returning q.*),
claimed as (
  insert into asman.running (qid, job_id, epoch, worker_id, attempt, deadline, by_deadline, class, priority, seq, definition_hash,
    is_true_id, is_debug, is_item, namespaces, cpus, gpus, memory_bytes, required_seconds, max_seconds, tags, n_lost, n_released, queued_at)
  select g.qid, g.job_id, nextval('asman.epoch_seq'), $2, g.attempt + 1, coalesce(now() + make_interval(secs => $4), 'infinity'), true,
    g.class, g.priority, g.seq, g.definition_hash, g.is_true_id, g.is_debug, g.is_item, g.namespaces, g.cpus, g.gpus, g.memory_bytes,
    g.required_seconds, g.max_seconds, g.tags, g.n_lost, g.n_released, g.queued_at
  from gone g order by g.priority, g.seq on conflict (job_id, qid) do nothing
  returning *),
noted as (
  insert into asman.event (qid, job_id, kind, worker_id, attempt, epoch)
  select c.qid, c.job_id, 'claimed', c.worker_id, c.attempt, c.epoch from claimed c order by c.priority, c.seq)
select c.job_id, c.epoch, c.attempt, case when isfinite(c.deadline) then (extract(epoch from c.deadline) * 1000)::int8 end as deadline_ms,
  (select d.body from asman.definition d where d.hash = c.definition_hash) as body,
  (select l.login from asman.login l where l.hash = c.definition_hash) as login
from claimed c order by c.priority, c.seq;
