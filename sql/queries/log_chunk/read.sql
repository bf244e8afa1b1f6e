-- A page of a job's build or run log: the chunks that contain lines after a cursor, oldest first, over all attempts of one
-- submission. Lines are numbered over all submissions, so that a cursor of an earlier submission stays valid.
-- in:    $1 qid uuid, $2 job_id text, $3 is_run bool, $4 since int8: lines already read, $5 epoch int8, $6 seq int4: the chunk that
--        was read last, 0 and -1 before the first, $7 n_max int8: most chunks, $8 n_bytes int8: bytes after which the page ends,
--        $9 queued_ms int8: when the job was submitted; a millisecond is rounded
-- out:   epoch int8, seq int4, lines_after int8, n_lines int4, lines text, n_found int8: number of chunks found, up to n_max
-- locks: none
-- index: log_chunk_pkey
with page as (
  select l.epoch, l.seq, case when $3 then l.run_lines_after else l.build_lines_after end as lines_after, l.n_lines, l.lines, l.bytes_after
  from asman.log_chunk l
  where l.job_id = $2 and l.qid = $1 and (l.epoch, l.seq) > ($5, $6) and (l.step = 'Running') = $3
    and case when $3 then l.run_lines_after else l.build_lines_after end > $4
    and l.claimed_at >= to_timestamp(($9::int8 - 1) / 1000.0)
  order by l.epoch, l.seq limit $7)
select p.epoch, p.seq, p.lines_after, p.n_lines, p.lines::text as lines, (select count(*) from page) as n_found
from page p where p.bytes_after <= (select min(f.bytes_after) from page f) + $8 order by p.epoch, p.seq;
