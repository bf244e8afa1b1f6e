-- How many lines the build's or the run's log of a job has, over all its submissions.
-- in:    $1 qid uuid, $2 job_id text, $3 is_run bool
-- out:   n_lines int8: no row for a job without a log
-- locks: none
-- index: log_chunk_pkey
select case when $3 then l.run_lines_after else l.build_lines_after end as n_lines from asman.log_chunk l
where l.job_id = $2 and l.qid = $1 order by l.epoch desc, l.seq desc limit 1;
