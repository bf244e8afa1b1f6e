//! A server that no longer accepts writes, and the server that replaces it.

use serde_json::json;

use crate::support::cluster::Cluster;
use crate::support::data_directory;
use crate::{Api, definition, eventually, on};

/// Makes a server refuse writes or accept them again, as an operator does.
fn set_read_only(cluster: &Cluster, is_read_only: bool) {
    let value = if is_read_only { "on" } else { "off" };
    cluster.sql_in(
        &(cluster.url() + "?options=-c%20default_transaction_read_only%3Doff"),
        &format!("alter system set default_transaction_read_only = {value}"),
    );
    cluster.sql("select pg_reload_conf()");
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_waited_for() {
    let cluster = Cluster::start();
    on(&cluster.url(), &["db", "migrate"]).unwrap();
    let blobs = data_directory();
    let api = Api::start(&cluster.url(), blobs.path(), &[]);
    let id = api.submit(1).await.unwrap();
    set_read_only(&cluster, true);
    eventually("the process is not ready", async || api.get("/readyz").await.0 == 503).await;
    let request = api.http.post(format!("{}/q/q", api.url)).json(&json!({"definition": definition(2)}));
    let response = request.send().await.unwrap();
    assert_eq!(response.status().as_u16(), 503);
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(api.get(&format!("/q/q/j/{id}")).await.0, 503, "an old server's data may be stale");
    assert_eq!(api.get("/healthz").await.0, 200);
    set_read_only(&cluster, false);
    eventually("the process is ready again", async || api.get("/readyz").await.0 == 200).await;
    assert!(api.submit(2).await.is_some(), "without a restart");
}

#[tokio::test]
async fn of_several_servers_the_one_that_takes_writes_is_used_also_after_a_fail_over() {
    let (old, new) = (Cluster::start(), Cluster::start());
    let address = format!("host={},{} user=postgres dbname=postgres", old.socket(), new.socket());
    for cluster in [&old, &new] {
        on(&cluster.url(), &["db", "migrate"]).unwrap();
    }
    set_read_only(&new, true);
    let blobs = data_directory();
    let api = Api::start(&address, blobs.path(), &[]);
    api.submit(1).await.unwrap();
    set_read_only(&old, true);
    set_read_only(&new, false);
    eventually("the other server is found", async || api.submit(2).await.is_some()).await;
    let count = "select count(*) from asman.queued";
    assert_eq!((old.sql(count), new.sql(count)), ("1".to_owned(), "1".to_owned()));
}
