-- For autoscalers: numbers of one queue by its name, for roles that may not read anything else. The functions run with the rights
-- of their owner.

-- Slots that the waiting and running jobs need, counted up to a hundred thousand waiting ones. 0 while the queue is paused and
-- nothing runs.
create function report.demand(queue text) returns float8
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
select coalesce((select sum(n.n_jobs * c.cpus) from (
      select q.class, count(*) as n_jobs from (
        select w.class from asman.queued w where w.qid = asman.qid(queue) order by w.class, w.priority, w.seq limit 100000) q
      group by q.class) n
    cross join lateral (select k.cpus from asman.class k where k.class = n.class limit 1) c
    where (select p.is_paused from asman.policy p where p.qid = asman.qid(queue)) is not true), 0)
  + coalesce((select sum(r.cpus) from asman.running_job r where r.qid = asman.qid(queue)), 0)
$$;
comment on function report.demand(text) is 'Cpu slots that the waiting and running jobs of a queue need; in a paused queue the waiting jobs do not count.';

create function report.depth(queue text) returns int8
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
select (select count(*) from asman.queued q where q.qid = asman.qid(queue)) + (select count(*) from asman.running r where r.qid = asman.qid(queue))
$$;
comment on function report.depth(text) is 'Jobs of a queue that wait or run.';

-- The key by which the views name a queue.
create function report.qid(queue text) returns uuid
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$ select asman.qid(queue) $$;
comment on function report.qid(text) is 'Key of a queue, as the views show it.';
