//! A dump of a database in use, and its restore by an owner who is not a superuser.

use std::process::Stdio;

use crate::support::cluster::Cluster;
use crate::support::{data_directory, text};
use crate::{Api, on};

/// A cluster with a database whose owner has no other rights.
fn owned(databases: &[&str]) -> Cluster {
    let cluster = Cluster::start();
    cluster.sql("create role owner login nosuperuser nocreaterole nocreatedb");
    for database in databases {
        cluster.sql(&format!("create database {database} owner owner"));
    }
    cluster
}

/// Dumps one database as its owner and restores the dump into another, with the command line of the operator's guide.
fn copy(from: &Cluster, from_url: &str, to: &Cluster, to_url: &str) {
    let dump = from.program("pg_dump").args(["-xO", "-n", "asman", "-n", "report", from_url]).output().unwrap();
    assert!(dump.status.success(), "{}", text(&dump.stderr));
    let file = data_directory();
    let path = file.path().join("dump.sql");
    std::fs::write(&path, &dump.stdout).unwrap();
    let mut psql = to.program("psql");
    psql.args(["-q", "-v", "ON_ERROR_STOP=1", "-f"]).arg(&path).arg(to_url).stdout(Stdio::null());
    let restored = psql.output().unwrap();
    assert!(restored.status.success(), "{}", text(&restored.stderr));
}

#[tokio::test]
async fn a_claim_made_after_the_dump_does_not_end_the_one_made_after_the_restore() {
    let (cluster, fresh) = (owned(&["live"]), owned(&["restored"]));
    let live = cluster.url_of("owner", "live");
    on(&live, &["db", "migrate"]).expect("an owner who is not a superuser migrates");
    let blobs = data_directory();
    let api = Api::start(&live, blobs.path(), &[]);
    let first = api.submit(1).await.unwrap();
    let before = api.claim("before").await;
    assert_eq!(api.finish(&before.0, before.1).await, 200);
    let job = api.submit(2).await.unwrap();
    let restored = fresh.url_of("owner", "restored");
    copy(&cluster, &live, &fresh, &restored);
    let (claimed, old_epoch) = api.claim("E").await;
    assert_eq!(claimed, job);
    drop(api);

    on(&restored, &["db", "after-restore"]).expect("the step after a restore");
    let api = Api::start(&restored, blobs.path(), &[]);
    let (claimed, epoch) = api.claim("F").await;
    assert_eq!(claimed, job);
    assert!(epoch > old_epoch, "{epoch} is new");
    assert_eq!(api.finish(&job, old_epoch).await, 409, "E is told to drop it");
    assert_eq!(api.finish(&job, epoch).await, 200);
    let (_, result) = api.get(&format!("/q/q/j/{job}/result.json")).await;
    assert_eq!(result["data"]["worker"], "F", "{result}");
    let (_, history) = api.get(&format!("/q/q/j/{job}/history.json")).await;
    let events: Vec<_> = history["data"].as_array().unwrap().iter().map(|entry| entry["event"].clone()).collect();
    assert_eq!(events, ["queued", "claimed", "finished"]);
    assert_eq!(api.get(&format!("/q/q/j/{first}/result.json")).await.1["data"]["worker"], "before");
}

#[tokio::test]
async fn where_the_step_was_forgotten_the_first_claim_still_gets_a_new_epoch() {
    let cluster = owned(&["live", "restored"]);
    let (live, restored) = (cluster.url_of("owner", "live"), cluster.url_of("owner", "restored"));
    on(&live, &["db", "migrate"]).unwrap();
    let blobs = data_directory();
    let api = Api::start(&live, blobs.path(), &[]);
    api.submit(1).await.unwrap();
    copy(&cluster, &live, &cluster, &restored);
    let (_, old_epoch) = api.claim("E").await;
    drop(api);
    let api = Api::start(&restored, blobs.path(), &[]);
    let (job, epoch) = api.claim("F").await;
    assert_ne!(epoch, old_epoch);
    assert_eq!((api.finish(&job, old_epoch).await, api.finish(&job, epoch).await), (409, 200));
}
