//! Callbacks that are refused at submission, and addresses that are refused at delivery.

use serde_json::{Value, json};

use super::receiver::Receiver;
use super::{open, submission};
use crate::test_api::{TestApi, assert_one_sentence, definition, eventually};

fn with(callback: &Value) -> Value {
    json!({"definition": definition(1), "control": {"callbacks": {"finished": callback}}})
}

async fn assert_refused(api: &TestApi, callback: Value) {
    let (status, answer) = api.post("/q/q", with(&callback)).await;
    assert_eq!(status, 400, "{callback}: {answer}");
    assert_one_sentence(&answer);
}

#[tokio::test]
async fn callbacks_that_can_never_be_delivered_are_refused_and_leave_nothing() {
    let api = TestApi::new().await;
    let long = format!("https://example.com/{}", "x".repeat(2048));
    for url in [
        "",
        "example.com",
        "/hook",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://user:password@example.com/",
        "http://127.0.0.1:8000/",
        "http://2130706433/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://[::ffff:192.168.0.1]/",
        "http://example.com:25/",
        &long,
    ] {
        assert_refused(&api, json!({"url": url})).await;
    }
    assert_refused(&api, json!({"payload": 1})).await;
    assert_refused(&api, json!({"url": "https://example.com/", "payload": "x".repeat(65 * 1024)})).await;
    assert_refused(&api, json!({"url": "https://example.com/", "payload": {"a": ["\u{0}"]}})).await;
    assert_eq!(api.count("select (select count(*) from asman.queued) + (select count(*) from asman.webhook)").await, 0);
    assert_eq!(api.count("select count(*) from asman.definition").await, 0);
    assert_eq!(api.get("/q/q").await.1, json!({"data": {}}));
}

#[tokio::test]
async fn the_metadata_address_stays_closed_where_private_ones_are_open() {
    let api = TestApi::with(open).await;
    assert_refused(&api, json!({"url": "http://169.254.169.254/"})).await;
    assert_refused(&api, json!({"url": "http://0.0.0.0/"})).await;
    assert_eq!(api.post("/q/q", with(&json!({"url": "http://10.0.0.1:1/"}))).await.0, 200);
}

#[tokio::test]
async fn a_name_is_judged_by_what_it_means_at_delivery() {
    let receiver = Receiver::taking_all().await;
    let api = TestApi::new().await;
    let url = format!("http://localhost:{}/", receiver.port);
    api.submit_job("q", submission(1, "_", &url)).await;
    let refused = "select count(*) from asman.webhook where last_error = 'the URL points to an address that is not public'";
    eventually("the address is refused", || async { (api.count(refused).await == 1).then_some(()) }).await;
    assert!(receiver.got().is_empty(), "nothing was sent");
    // The operator of this process permits private addresses, so the same name is accepted.
    let open = TestApi::over(&api.database_url, open).await;
    open.submit_job("q", submission(2, "_", &url)).await;
    // The restricted process may take a delivery first and refuse the address. Then it is due again for the other process.
    let soon = "update asman.webhook set due_at = now() where due_at > now() + interval '1 second'";
    eventually("an open process delivers it", || async {
        api.execute(soon).await;
        receiver.got().iter().any(|got| got.body["config"]["n"] == 2).then_some(())
    })
    .await;
}
