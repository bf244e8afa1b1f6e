-- Store one chunk of a claim's log. A repeated chunk is recognised by its number. A chunk of a claim that is not live is refused.
-- in:    $1 qid uuid, $2 job_id text, $3 epoch int8, $4 seq int4, $5 step text, $6 n_lines int4, $7 n_bytes int8, $8 lines text,
--        $9 bytes_max int8: what one submission of a job may log in all
-- out:   outcome text: 'stored', 'repeated', 'full' or 'stale'
-- locks: none that other statements wait for
-- index: job_name, running_pkey, log_chunk_pkey
with live as (
  select r.claimed_at, j.queued_at from asman.job_named($1, $2) j
  cross join lateral (select k.claimed_at from asman.running k where k.job_key = j.key and k.epoch = $3 limit 1) r),
last as (
  select l.epoch, l.seq, l.build_lines_after, l.run_lines_after,
    case when l.claimed_at >= (select h.queued_at from live h) then l.bytes_after else 0 end as bytes_after
  from asman.log_chunk l
  where l.job_id = $2 and l.qid = $1 order by l.epoch desc, l.seq desc limit 1),
added as (
  insert into asman.log_chunk (qid, job_id, epoch, seq, step, n_lines, lines, build_lines_after, run_lines_after, bytes_after, claimed_at)
  select $1, $2, $3, $4, $5, $6, $8::text::json,
    coalesce(l.build_lines_after, 0) + case when $5 = 'Running' then 0 else $6 end,
    coalesce(l.run_lines_after, 0) + case when $5 = 'Running' then $6 else 0 end,
    coalesce(l.bytes_after, 0) + $7, h.claimed_at
  from live h left join last l on true
  where (l.epoch is null or (l.epoch, l.seq) < ($3, $4)) and coalesce(l.bytes_after, 0) + $7 <= $9
  on conflict do nothing returning seq)
select case when not exists (select from live) then 'stale'
  when exists (select from added) then 'stored'
  when exists (select from last l where (l.epoch, l.seq) >= ($3, $4)) then 'repeated'
  else 'full' end as outcome
-- A crash of the server may lose the last moments of a log, but never a state. The setting applies to this transaction only,
-- because another client may use the connection next.
from (select set_config('synchronous_commit', 'off', true)) as relaxed;
