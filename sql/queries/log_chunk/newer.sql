-- Chunks of running jobs that came after those already passed on, for live viewers of one queue; 64 at most.
-- in:    $1 qid uuid, $2 job_id text[], $3 epoch int8[], $4 seq int4[]: the last chunk passed on of each job
-- out:   job_id text, epoch int8, seq int4, step text, lines text
-- locks: none
-- index: log_chunk_pkey
select c.job_id, c.epoch, c.seq, c.step, c.lines
from unnest($2::text[], $3::int8[], $4::int4[]) as w (job_id, epoch, seq)
cross join lateral (
  select l.job_id, l.epoch, l.seq, l.step, l.lines::text as lines from asman.log_chunk l
  where l.job_id = w.job_id and l.qid = $1 and (l.epoch, l.seq) > (w.epoch, w.seq)
  order by l.epoch, l.seq limit 16) c limit 64;
