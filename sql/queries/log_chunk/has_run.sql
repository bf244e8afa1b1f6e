-- Whether the run log of one claim has any line.
-- in:    $1 qid uuid, $2 job_id text, $3 epoch int8
-- out:   has_run bool: one row
-- locks: none
-- index: log_chunk_pkey
select exists (select from asman.log_chunk l
  where l.job_id = $2 and l.qid = $1 and l.epoch = $3 and l.step = 'Running') as has_run;
