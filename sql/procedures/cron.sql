-- The result of the last maintenance run by pg_cron. No row when pg_cron is not in this database or has not run yet.
-- out:   is_done: whether it succeeded; message: what it reported
-- locks: none
create or replace function asman.cron_run() returns table (is_done bool, message text) language plpgsql stable as $$
begin
  if to_regclass('cron.job_run_details') is null then return; end if;
  return query execute $sql$
    select d.status = 'succeeded', coalesce(d.return_message, '')
    from cron.job j join cron.job_run_details d on d.jobid = j.jobid
    where j.jobname = 'asman-maintain' and d.status in ('succeeded', 'failed')
    order by d.runid desc limit 1 $sql$;
exception when insufficient_privilege then return;
end $$;
