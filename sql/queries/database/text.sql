-- Whether the installed procedures and views are this program's, or those of a later release.
-- in:    $1 hash text: of this program's
-- out:   is_fitting bool
-- locks: none
-- index: none
select coalesce((
  select own.first_applied <= current.first_applied
  from asman.schema_text own, (select t.first_applied from asman.schema_text t order by t.last_applied desc limit 1) current
  where own.hash = $1), false) as is_fitting;
