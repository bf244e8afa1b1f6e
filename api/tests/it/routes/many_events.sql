-- One transaction with more events of a queue than one read takes.
with jobs as (
  insert into asman.job (qid, job_id, class, max_seconds, is_true_id, namespaces)
  select asman.qid('q'), 'gone-' || n, 0, 60, false, '{_}' from generate_series(1, 4500) n returning *)
insert into asman.event (qid, job_keys, kind, namespace) select qid, array[key], 'queued', '_' from jobs
