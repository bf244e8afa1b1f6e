-- End one hold whose namespace has a newer job, when it is due. The work is in asman.supersede.
-- in:    nothing
-- out:   qid uuid, outcome text: no row when nothing is due; else as of asman.cancel, or 'kept'
-- locks: one supersession row (rows that others have locked are skipped), the job's advisory lock, the job's row
-- index: supersession_due, hold_pkey
select qid, outcome from asman.supersede();
