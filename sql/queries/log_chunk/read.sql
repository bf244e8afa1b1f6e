-- The chunks of a job's build or run log that hold lines after a cursor, oldest first, over all attempts.
-- in:    $1 qid uuid, $2 job_id text, $3 is_run bool, $4 since int8: lines already read, $5 n_max int8: most chunks
-- out:   lines_after int8, n_lines int4, lines text
-- locks: none
-- index: log_chunk_pkey
select case when $3 then l.run_lines_after else l.build_lines_after end as lines_after, l.n_lines, l.lines::text as lines
from asman.log_chunk l
where l.job_id = $2 and l.qid = $1 and (l.step = 'Running') = $3
  and case when $3 then l.run_lines_after else l.build_lines_after end > $4
order by l.epoch, l.seq limit $5;
