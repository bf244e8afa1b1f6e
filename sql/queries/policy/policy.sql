-- The policy of a queue. A queue without one has the defaults.
-- in:    $1 qid uuid
-- out:   no row, or one: is_paused bool, owner_token_hash bytea, worker_token_hash bytea, submit_token_hash bytea, read_token_hash bytea,
--        has_webhook_secret bool, n_queued_max int4, n_namespace_max int4, max_seconds int4, retention_days int4
-- locks: none
-- index: policy_pkey
select p.is_paused, p.owner_token_hash, p.worker_token_hash, p.submit_token_hash, p.read_token_hash,
  p.webhook_secret is not null as has_webhook_secret, p.n_queued_max, p.n_namespace_max, p.max_seconds, p.retention_days
from asman.policy p where p.qid = $1;
