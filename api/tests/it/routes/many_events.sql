-- One transaction with more events of a queue than one read takes.
insert into asman.event (qid, job_id, kind, namespace)
select asman.qid('q'), 'gone-' || n, 'queued', '_' from generate_series(1, 4500) n
