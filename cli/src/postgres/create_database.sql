-- Create the product's database in a private cluster. Runs at every start; "already exists" is expected and ignored.
-- in:    nothing
-- out:   nothing
-- locks: none that others wait for: the cluster has just started and has no other client
create database asman
