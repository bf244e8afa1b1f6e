-- Cancel a job in one namespace. The work is in asman.cancel.
-- in:    $1 qid uuid, $2 job_id text, $3 namespace text, $4 reason text, $5 message text
-- out:   outcome text: 'ended', 'left', 'absent', 'finished', 'removed' or 'unknown'
-- locks: the job's row
-- index: job_name, queued_job_key, running_pkey, finished_pkey
select asman.cancel($1, $2, $3, $4, $5) as outcome;
