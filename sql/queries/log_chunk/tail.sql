-- The end of the build's or the run's log of one claim: the newest chunks, as many as the wanted lines and bytes need.
-- in:    $1 qid uuid, $2 job_id text, $3 epoch int8, $4 n_lines int8, $5 n_bytes int8: both at least 1, $6 is_run bool
-- out:   lines_after int8, lines text: newest first, begins_at int8: lines of earlier claims
-- locks: none
-- index: log_chunk_pkey
with own as not materialized (
  select l.seq, l.n_lines, l.lines, l.bytes_after, case when $6 then l.run_lines_after else l.build_lines_after end as lines_after
  from asman.log_chunk l
  where l.job_id = $2 and l.qid = $1 and l.epoch = $3 and (l.step = 'Running') = $6),
last as (select o.seq, o.lines_after, o.bytes_after from own o order by o.seq desc limit 1),
first as (select o.lines_after - o.n_lines as begins_at from own o order by o.seq limit 1)
select o.lines_after, o.lines::text as lines, first.begins_at
from last cross join first join own o
  on o.seq > last.seq - $4::int8 and o.lines_after > last.lines_after - $4 and o.bytes_after > last.bytes_after - $5
order by o.seq desc;
