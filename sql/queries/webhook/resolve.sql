-- Store the results of tries. The work is in asman.settle_webhooks.
-- in:    $1 id uuid[], $2 n_attempts int4[]: which try it was, $3 error text[]: null when delivered;
--        $4 pause_seconds float8[]: what the receiver asked for; null: the usual, $5 is_refused bool[]: no further try;
--        $6 first_seconds float8, $7 most_seconds float8: the usual pause after the first try doubles up to this
-- out:   id uuid, is_given_up bool: the rows that are gone
-- locks: these rows
-- index: webhook_pkey
select id, is_given_up from asman.settle_webhooks($1, $2, $3, $4, $5, $6, $7);
