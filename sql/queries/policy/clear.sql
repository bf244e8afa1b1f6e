-- Reset a queue to the defaults, if the owner is still the one that authorized the writer.
-- in:    $1 qid uuid, $2 expected_owner_hash bytea
-- out:   is_cleared bool: one row; false when the owner has changed, true also when there was no policy
-- locks: the policy's row
-- index: policy_pkey
with gone as (
  delete from asman.policy p where p.qid = $1 and p.owner_token_hash is not distinct from $2 returning p.qid)
select exists (select from gone) or not exists (select from asman.policy p where p.qid = $1) as is_cleared;
