-- V008: jobs that failed lately are found without reading those that succeeded.
--
-- why:      listings show them for an hour. In a busy queue an hour of successes is hundreds of thousands of rows
-- expand:   a new index; nothing else changes
-- locks:    share on finished while the index is built: ends of jobs wait. On a large database build it partition by partition
--           before, with `create index concurrently`, and attach those to an index that was made `only` on the parent
-- undo:     drop index asman.finished_failed
create index if not exists finished_failed on asman.finished (qid, finished_at)
  where reason in ('Error', 'TimedOut', 'Cancelled') and not is_item;
