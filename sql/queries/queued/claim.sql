-- Claim waiting jobs for all workers that ask in one tick. There is at most one group per queue, and its slots are dealt to the
-- queue's workers in turn. The columns of a group are carried along instead of joined again. So every join here is one index look-up
-- for each row, and no join compares all rows with all rows.
-- in:    groups: $1 qid uuid[], $2 jobs int4[], $3 labels text[] (joined by '/'), $4 cpus float8[], $5 gpus int4[],
--        $6 memory_bytes int8[], $7 max_seconds int4[] (the most that any one worker of the group has free),
--        $8 first_slot int4[]: where the group's slots begin in the arrays that follow;
--        slots: $9 worker_id text[], $10 cpus float8[], $11 gpus int4[], $12 memory_bytes int8[]; $13 setup_seconds int4;
--        $14 is_looking bool: whether to look for queues to tidy up
-- out:   qid uuid, worker_id text, job_id text, epoch int8, attempt int2, deadline_ms int8, max_seconds int4, body text,
--        login text (of its build context; null in nearly all), namespaces text[], is_debug bool, priority int2, seq int8;
--        and one row with only qid and an empty job_id for each queue whose classes should be tidied up
-- locks: the claimed queued rows and rows looked at that did not fit, for this statement; rows that another claim has locked are
--        skipped
-- index: waiting_class_offered, class_class, queued_pkey, job_pkey, running_pkey, definition_pkey, login_pkey
with claim_group as materialized (
  select r.qid, r.jobs, string_to_array(r.labels, '/') as labels, r.free_cpus, r.free_gpus, r.free_bytes, r.worker_seconds,
    r.first_slot, r.group_no
  from unnest($1::uuid[], $2::int4[], $3::text[], $4::float8[], $5::int4[], $6::int8[], $7::int4[], $8::int4[]) with ordinality
    as r (qid, jobs, labels, free_cpus, free_gpus, free_bytes, worker_seconds, first_slot, group_no)
  where (select p.is_paused from asman.policy p where p.qid = r.qid) is not true),
-- The first job of each class that a connected worker can run and that fits. It looks at the 500 classes that may have the oldest
-- jobs. A class with several rows finds the same first job from each, and `distinct` leaves one.
head as (
  select r.group_no, r.qid, r.jobs, r.first_slot, r.worker_seconds, h.class, h.cpus, h.gpus, h.memory_bytes
  from claim_group r cross join lateral (
    select distinct k.priority, k.seq, k.class, k.cpus, k.gpus, k.memory_bytes from (
      select c.class, f.priority, f.seq, n.cpus, n.gpus, n.memory_bytes
      from asman.waiting_class c
      cross join lateral (
        select k.cpus, k.gpus, k.memory_bytes from asman.class k
        where k.class = c.class and k.cpus <= r.free_cpus and k.gpus <= r.free_gpus and k.memory_bytes <= r.free_bytes
          and k.required_seconds <= r.worker_seconds and k.labels <@ r.labels limit 1) n
      cross join lateral (
        select q.priority, q.seq from asman.queued q
        where q.qid = r.qid and q.class = c.class and (q.not_before is null or q.not_before <= now())
        order by q.class, q.priority, q.seq limit 1) f
      where c.offered_qid = r.qid
      order by c.priority, c.seq limit 500) k
    order by k.priority, k.seq limit least(r.jobs + 4, 100)) h),
pick as materialized (
  select h.group_no, h.first_slot, h.worker_seconds, h.cpus, h.gpus, h.memory_bytes, q.*
  from head h cross join lateral (
    select q.ctid as row_ctid, q.priority, q.seq from asman.queued q
    where q.qid = h.qid and q.class = h.class and (q.not_before is null or q.not_before <= now())
    order by q.class, q.priority, q.seq limit h.jobs for update skip locked) q),
numbered as (
  select p.*, (p.first_slot + row_number() over (partition by p.group_no order by p.priority, p.seq) - 1)::int4 as slot from pick p),
dealt as (
  select n.*, ($9::text[])[n.slot] as worker_id from numbered n where n.slot < n.first_slot + ($2::int4[])[n.group_no]),
fit as materialized (
  select d.*,
    sum(d.cpus) over worker <= ($10::float8[])[d.slot] + 1e-6 and sum(d.gpus) over worker <= ($11::int4[])[d.slot]
      and sum(d.memory_bytes) over worker <= ($12::int8[])[d.slot] as fits
  from dealt d window worker as (partition by d.group_no, d.worker_id order by d.slot)),
-- A picked row is locked, so its ctid stays valid until this statement ends. A row that another statement has just changed is not
-- found at its ctid and waits for the next claim.
gone as (
  delete from asman.queued q using fit f where q.ctid = f.row_ctid and f.fits returning q.*, f.worker_id, f.worker_seconds),
claimed as (
  insert into asman.running (job_key, epoch, deadline, qid, worker_id, attempt, n_lost, n_released)
  select g.job_key, nextval('asman.epoch_seq'), now() + make_interval(secs => least(j.max_seconds, g.worker_seconds) + $13::int4), g.qid,
    g.worker_id, g.attempt + 1, g.n_lost, g.n_released
  from gone g cross join lateral (select k.max_seconds from asman.job k where k.key = g.job_key limit 1) j
  -- If a waiting job were also running, a second row in running would violate the primary key and make the claims of all workers
  -- fail. So such a waiting row is dropped.
  where (select true from asman.running r where r.job_key = g.job_key limit 1) is null
  returning *),
noted as (
  insert into asman.event (qid, kind, worker_id, attempt, job_keys, epochs)
  select c.qid, 'claimed', c.worker_id, c.attempt, array_agg(c.job_key), array_agg(c.epoch)
  from (select r.*, (row_number() over () - 1) / 100 as part from claimed r) c group by c.qid, c.worker_id, c.attempt, c.part)
select c.qid, c.worker_id, j.job_id, c.epoch, c.attempt, (extract(epoch from c.deadline) * 1000)::int8 as deadline_ms,
  (extract(epoch from c.deadline - c.claimed_at))::int4 - $13::int4 as max_seconds,
  (select d.body from asman.definition d where d.hash = j.definition_hash) as body,
  (select l.login from asman.login l where l.hash = j.definition_hash) as login, j.namespaces, j.is_debug, j.priority, j.seq
from claimed c cross join lateral (select k.* from asman.job k where k.key = c.job_key limit 1) j
union all
select r.qid, '', '', 0, 0::int2, 0, 0, null, null, '{}', false, 0::int2, 0
from claim_group r where $14::bool and (select count(*) from (
  select from asman.waiting_class c where c.offered_qid = r.qid
  order by c.priority, c.seq limit 201) n) > 200;
