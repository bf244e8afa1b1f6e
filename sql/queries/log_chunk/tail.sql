-- The run log of one claim, whole.
-- in:    $1 qid uuid, $2 job_id text, $3 epoch int8
-- out:   lines text: one row a chunk, oldest first
-- locks: none
-- index: log_chunk_pkey
select l.lines::text as lines from asman.log_chunk l
where l.job_id = $2 and l.qid = $1 and l.epoch = $3 and l.step = 'Running' order by l.seq;
