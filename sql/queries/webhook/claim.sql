-- Take deliveries that are due, some of each host. No other process takes them until the lease ends. The work is in
-- asman.claim_webhooks.
-- in:    $1 host text[], $2 n_busy int4[]: tries under way here; $3 n_host_max int4: most of one host, those included;
--        $4 n_max int4: most in all; $5 after text: hosts up to this one had their turn; $6 lease_seconds float8
-- out:   id uuid, job_id text, queue text, namespace text, kind text, url text, host text, payload text, reason text,
--        status_code int8, n_attempts int4, secret text: the queue's, if it has one
-- locks: the taken rows; rows that another process has locked are skipped
-- index: webhook_due: one hop a host, then the first of each; webhook_untold
select id, job_id, queue, namespace, kind, url, host, payload, reason, status_code, n_attempts, secret
from asman.claim_webhooks($1, $2, $3, $4, $5, $6);
