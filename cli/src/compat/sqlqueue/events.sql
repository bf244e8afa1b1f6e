-- The next events of an existing store.
-- in:    $1 id int8: the last one read, $2 n_max int8
-- out:   id int8, name text, data text (JSON), at text
-- locks: none
-- index: sqleventstore_pkey
select e.id::int8 as id, e.name::text as name, e.json_data::text as data, to_char(e.time, 'YYYY-MM-DD HH24:MI:SS.US') as at
from sqleventstore e where e.id > $1::int8 order by e.id limit $2::int8
