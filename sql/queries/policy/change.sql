-- Change parts of a queue's policy, or create it, if the owner is still the one that authorized the writer. Of two callers that
-- both want to become the first owner, the second finds an unexpected owner and changes nothing.
-- in:    $1 qid uuid, $2 expected_owner_hash bytea, $3 parts text[]: names of the columns that change,
--        $4 is_paused bool, $5 owner_token_hash bytea, $6 worker_token_hash bytea, $7 submit_token_hash bytea, $8 read_token_hash bytea,
--        $9 webhook_secret text, $10 n_queued_max int4, $11 n_namespace_max int4, $12 max_seconds int4, $13 retention_days int4
-- out:   is_changed bool: one row, or none when the owner has changed
-- locks: the policy's row
-- index: policy_pkey
insert into asman.policy as p (qid, is_paused, owner_token_hash, worker_token_hash, submit_token_hash, read_token_hash, webhook_secret,
  n_queued_max, n_namespace_max, max_seconds, retention_days)
-- A policy that was deleted does not have an owner, so a writer that an owner's token authorized may not change it.
select $1, coalesce($4, false), $5, $6, $7, $8, $9, $10, $11, $12, $13
where $2::bytea is null or exists (select from asman.policy q where q.qid = $1)
on conflict (qid) do update set
  is_paused = case when 'is_paused' = any ($3::text[]) then excluded.is_paused else p.is_paused end,
  owner_token_hash = case when 'owner_token_hash' = any ($3) then excluded.owner_token_hash else p.owner_token_hash end,
  worker_token_hash = case when 'worker_token_hash' = any ($3) then excluded.worker_token_hash else p.worker_token_hash end,
  submit_token_hash = case when 'submit_token_hash' = any ($3) then excluded.submit_token_hash else p.submit_token_hash end,
  read_token_hash = case when 'read_token_hash' = any ($3) then excluded.read_token_hash else p.read_token_hash end,
  webhook_secret = case when 'webhook_secret' = any ($3) then excluded.webhook_secret else p.webhook_secret end,
  n_queued_max = case when 'n_queued_max' = any ($3) then excluded.n_queued_max else p.n_queued_max end,
  n_namespace_max = case when 'n_namespace_max' = any ($3) then excluded.n_namespace_max else p.n_namespace_max end,
  max_seconds = case when 'max_seconds' = any ($3) then excluded.max_seconds else p.max_seconds end,
  retention_days = case when 'retention_days' = any ($3) then excluded.retention_days else p.retention_days end,
  updated_at = now()
where p.owner_token_hash is not distinct from $2
returning true as is_changed;
