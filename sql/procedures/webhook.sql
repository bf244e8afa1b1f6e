-- Deliveries that wait for the end of a job are due when it ended, however it did: in the same transaction.
-- in:    the rows that a statement added to asman.finished
-- out:   nothing
-- locks: the webhooks of these jobs
-- index: webhook_job
create or replace function asman.make_webhooks_due() returns trigger
language plpgsql
-- Every finish comes through here, most without a webhook: two looks into an index, whatever the statistics say.
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
begin
  update asman.webhook w
  set due_at = now(), expires_at = now() + interval '24 hours', reason = e.reason, status_code = e.status_code
  from ended e where w.job_id = e.job_id and w.qid = e.qid and w.kind = 'finished' and w.due_at is null;
  return null;
end $$;

do $$
begin
  if not exists (select from pg_trigger where tgrelid = 'asman.finished'::regclass and tgname = 'finished_makes_webhooks_due') then
    create trigger finished_makes_webhooks_due after insert on asman.finished
      referencing new table as ended for each statement execute function asman.make_webhooks_due();
  end if;
end $$;
