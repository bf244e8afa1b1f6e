-- Store transitions that another system recorded, each once.
-- in:    $1 qid uuid, $2 job_ids text[], $3 kinds text[], $4 reasons text[], $5 messages text[]: distinct for each transition
-- out:   job_id text: one row for each transition that is new
-- locks: none
-- index: event_job
insert into asman.event (qid, job_id, kind, reason, message)
select $1, e.job_id, e.kind, e.reason, e.message
from unnest($2::text[], $3::text[], $4::text[], $5::text[]) with ordinality as e (job_id, kind, reason, message, ord)
where not exists (select from asman.event o where o.job_id = e.job_id and o.qid = $1 and o.message = e.message)
order by e.ord
returning job_id;
