-- Store the ids of definitions that have two, before the definitions themselves.
-- in:    $1 hashes bytea[], $2 old_ids text[], $3 job_ids text[]
-- out:   none
-- locks: the rows, for this statement
-- index: alias_pkey
select asman.keep_aliases($1, $2, $3);
