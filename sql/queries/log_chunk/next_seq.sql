-- The number of a claim's next log chunk, for workers that do not count.
-- in:    $1 qid uuid, $2 job_id text, $3 epoch int8
-- out:   seq int4: 0 when there is none
-- locks: none
-- index: log_chunk_pkey
select coalesce(max(l.seq) + 1, 0) as seq from asman.log_chunk l where l.job_id = $2 and l.qid = $1 and l.epoch = $3;
