//! `pg_cron` in the database: what is said of it is what it does.

use crate::on;
use crate::support::cluster::Cluster;
use crate::support::text;

#[test]
fn what_is_said_of_pg_cron_is_how_its_last_run_went_and_the_owner_can_dump() {
    // Its worker logs in over TCP, which this server does not listen on: every run fails, as with a password that it lacks.
    let cluster = Cluster::start_with("-c shared_preload_libraries=pg_cron -c cron.database_name=owned");
    cluster.sql("create role owner login nosuperuser");
    cluster.sql("create database owned owner owner");
    let (superuser, owner) = (cluster.url_of("postgres", "owned"), cluster.url_of("owner", "owned"));
    let none = on(&owner, &["db", "migrate"]).expect("without the extension");
    assert!(!none.contains("pg_cron"), "{none}");
    cluster.sql_in(&superuser, "create extension pg_cron; grant usage on schema cron to owner");
    let asked = on(&owner, &["db", "migrate"]).expect("with it");
    assert!(asked.contains("asked to run") && !asked.contains("runs asman.maintain() every five minutes, and"), "{asked}");
    let fail = "insert into cron.job_run_details (jobid, runid, database, username, command, status, return_message, start_time) \
                select jobid, 1, database, username, command, 'failed', 'connection failed', now() from cron.job";
    cluster.sql_in(&superuser, fail);
    let told = on(&owner, &["db", "migrate"]).unwrap();
    assert!(told.contains("cannot run asman.maintain()") && told.contains("connection failed"), "{told}");
    let status = on(&owner, &["db", "status"]).unwrap();
    assert!(status.contains("pg_cron cannot run maintenance, so the API alone does: connection failed"), "{status}");
    let dump = cluster.program("pg_dump").args(["-xO", "-n", "asman", "-n", "report", &owner]).output().unwrap();
    assert!(dump.status.success(), "{}", text(&dump.stderr));
}
