-- V007: the id of a job is a segment of a URL.
--
-- why:      `.` and `..` are left out by whatever reads a URL on the way. A job of such an id was claimed again and again, because
--           its finish went to another route
-- expand:   jobs of these ids that wait or run are removed, and no new ones come to be, whatever writes them. Items of the
--           task-queue API may have them: they are ended in bodies
-- locks:    access exclusive on queued and running for the moment in which a constraint is added; their rows are not checked
-- undo:     alter table asman.queued drop constraint queued_job_id_is_a_segment; the same of running
with gone as (
  delete from asman.queued where job_id in ('.', '..') and not is_item returning qid, job_id),
stopped as (
  delete from asman.running where job_id in ('.', '..') and not is_item returning qid, job_id)
insert into asman.event (qid, job_id, kind)
select qid, job_id, 'removed' from gone union all select qid, job_id, 'removed' from stopped;

alter table asman.queued add constraint queued_job_id_is_a_segment check (is_item or job_id not in ('.', '..')) not valid;
alter table asman.running add constraint running_job_id_is_a_segment check (is_item or job_id not in ('.', '..')) not valid;

-- It gives a column more; the procedures are made after the migrations.
drop function if exists asman.items(uuid);
