-- The newest log chunk of each of these jobs of a queue, from which live viewers start.
-- in:    $1 qid uuid, $2 job_id text[]
-- out:   job_id text, epoch int8, seq int4: no row for a job without a log
-- locks: none
-- index: log_chunk_pkey
select c.job_id, c.epoch, c.seq
from unnest($2::text[]) as w (job_id)
cross join lateral (
  select l.job_id, l.epoch, l.seq from asman.log_chunk l
  where l.job_id = w.job_id and l.qid = $1 order by l.epoch desc, l.seq desc limit 1) c;
