-- The end of the run log of one claim: the newest chunks that hold so many lines and bytes.
-- in:    $1 qid uuid, $2 job_id text, $3 epoch int8, $4 n_lines int8, $5 n_bytes int8: both at least 1
-- out:   lines_after int8, lines text: newest first, begins_at int8: lines of earlier claims
-- locks: none
-- index: log_chunk_pkey
with last as (
  select l.seq, l.run_lines_after, l.bytes_after from asman.log_chunk l
  where l.job_id = $2 and l.qid = $1 and l.epoch = $3 and l.step = 'Running' order by l.seq desc limit 1),
first as (
  select l.run_lines_after - l.n_lines as begins_at from asman.log_chunk l
  where l.job_id = $2 and l.qid = $1 and l.epoch = $3 and l.step = 'Running' order by l.seq limit 1)
select l.run_lines_after as lines_after, l.lines::text as lines, first.begins_at
from last cross join first join asman.log_chunk l on l.job_id = $2 and l.qid = $1 and l.epoch = $3 and l.step = 'Running'
  and l.seq > last.seq - $4::int8 and l.run_lines_after > last.run_lines_after - $4 and l.bytes_after > last.bytes_after - $5
order by l.seq desc;
