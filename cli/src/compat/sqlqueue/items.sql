-- The next items of an existing queue, in the order in which they were put.
-- in:    $1 queue_name text, $2 id int8: the last one read, $3 n_max int8
-- out:   id int8, stage int4, body text (JSON, a string where the body is double-encoded), item_id text
-- locks: none
-- index: sqlqueue_pkey
select q.id::int8 as id, coalesce(q.queue_item_stage, 0)::int4 as stage, q.json_data::text as body, q.index_key::text as item_id
from sqlqueue q where q.queue_name = $1::text and q.id > $2::int8 order by q.id limit $3::int8
