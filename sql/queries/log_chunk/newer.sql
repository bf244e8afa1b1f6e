-- Log chunks of running jobs that came after the chunks already sent, for the live viewers of one queue. Chunks of earlier
-- submissions of the same job are left out. At most 64 chunks are returned.
-- in:    $1 qid uuid, $2 job_id text[], $3 epoch int8[], $4 seq int4[]: the last chunk sent of each job, $5 queued_ms int8[]
-- out:   job_id text, epoch int8, seq int4, step text, lines_after int8: lines of that log up to and with the chunk, lines text
-- locks: none
-- index: log_chunk_pkey
select c.job_id, c.epoch, c.seq, c.step, c.lines_after, c.lines
from unnest($2::text[], $3::int8[], $4::int4[], $5::int8[]) as w (job_id, epoch, seq, queued_ms)
cross join lateral (
  select l.job_id, l.epoch, l.seq, l.step, l.lines::text as lines,
    case when l.step = 'Running' then l.run_lines_after else l.build_lines_after end as lines_after from asman.log_chunk l
  where l.job_id = w.job_id and l.qid = $1 and (l.epoch, l.seq) > (w.epoch, w.seq)
    and l.claimed_at >= to_timestamp((w.queued_ms - 1) / 1000.0)
  order by l.epoch, l.seq limit 16) c limit 64;
