//! Deliveries, their order, and their receivers.

use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sqlx::Connection;

use super::receiver::Receiver;
use super::{open, submission};
use crate::test_api::{TestApi, definition, eventually};

const OWED: &str = "select count(*) from asman.webhook";

async fn outbox_is_empty(api: &TestApi) {
    eventually("everything was delivered", || async { (api.count(OWED).await == 0).then_some(()) }).await;
}

#[tokio::test]
async fn a_submitter_hears_that_its_job_is_queued_and_then_how_it_ended() {
    let receiver = Receiver::taking_all().await;
    let api = TestApi::with(|config| {
        open(config);
        config.public_url = Some("https://queue.example/base".into());
    })
    .await;
    let id = api.submit_job("q", submission(7, "_", &format!("{}/hook?a=b", receiver.url))).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    let finish = json!({"epoch": epoch, "reason": "Success", "result": {"StatusCode": 3, "isTimedOut": false, "outputs": {}}});
    assert_eq!(api.post(&format!("/q/q/j/{id}/finish"), finish).await.0, 200);
    let got = receiver.until(2).await;
    assert_eq!(got[0].body, json!({"jobId": id, "queue": "q", "namespace": "_", "config": {"n": 7}}));
    assert_eq!(
        got[1].body,
        json!({"jobId": id, "queue": "q", "namespace": "_", "config": [7, "done"], "state": "Finished", "reason": "Success",
            "statusCode": 3, "resultUrl": format!("https://queue.example/base/q/q/j/{id}/result.json")})
    );
    assert_eq!((got[0].event(), got[1].event()), ("queued", "finished"));
    assert_ne!(got[0].id(), got[1].id());
    assert_eq!(got[0].path, "/hook");
    assert_eq!(got[0].headers["content-type"], "application/json");
    assert!(got[0].headers["user-agent"].starts_with("asman/"));
    assert!(!got[0].headers.contains_key("x-asman-signature"), "the queue has no secret");
    outbox_is_empty(&api).await;
}

#[tokio::test]
async fn a_queue_with_a_secret_signs_the_body() {
    let receiver = Receiver::taking_all().await;
    let api = TestApi::with(open).await;
    api.execute("insert into asman.policy (qid, webhook_secret) values (asman.qid('q'), 'the secret')").await;
    api.submit_job("q", submission(1, "_", &receiver.url)).await;
    let got = receiver.until(1).await.remove(0);
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"the secret").unwrap();
    mac.update(&got.raw);
    let expected = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    assert_eq!(got.headers["x-asman-signature"], expected);
}

#[tokio::test]
async fn without_a_public_url_the_result_is_named_by_its_path() {
    let receiver = Receiver::taking_all().await;
    let api = TestApi::with(open).await;
    let body =
        json!({"id": "an id?", "definition": definition(1), "control": {"callbacks": {"finished": {"url": receiver.url}}}});
    api.submit_job("q%20r", body).await;
    api.post("/q/q%20r/j/an%20id%3F/cancel", json!({})).await;
    let got = receiver.until(1).await.remove(0);
    assert_eq!(got.body["resultUrl"], "/q/q%20r/j/an%20id%3F/result.json");
    assert_eq!(
        (&got.body["reason"], &got.body["config"], &got.body["statusCode"]),
        (&json!("Cancelled"), &Value::Null, &Value::Null)
    );
    assert_eq!(got.body["queue"], "q r");
}

#[tokio::test]
async fn a_submission_that_is_sent_again_owes_nothing_new() {
    let receiver = Receiver::taking_all().await;
    let api = TestApi::with(open).await;
    let body = submission(1, "_", &receiver.url);
    let id = api.submit_job("q", body.clone()).await;
    api.submit_job("q", body.clone()).await;
    receiver.until(1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    api.submit_job("q", body).await;
    assert_eq!(api.count(OWED).await, 1, "only the end is delivered");
    assert_eq!(api.finish(&id, epoch).await, 200);
    outbox_is_empty(&api).await;
    let events: Vec<_> = receiver.got().iter().map(|got| got.event().to_owned()).collect();
    assert_eq!(events, ["queued", "finished"]);
}

#[tokio::test]
async fn whoever_submits_a_finished_job_is_told_at_once_and_not_twice_while_the_receiver_is_away() {
    let receiver = Receiver::new(|_, _| (500, None)).await;
    let api = TestApi::with(|config| {
        open(config);
        config.webhook_backoff = protocol::Duration(std::time::Duration::from_mins(1));
    })
    .await;
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    assert_eq!(api.finish(&id, epoch).await, 200);
    for _ in 0..3 {
        api.submit_job("q", submission(1, "_", &receiver.url)).await;
    }
    let got = receiver.until(2).await;
    assert_eq!((got[0].event(), got[1].event()), ("queued", "finished"), "in this order, although both were due at once");
    assert_eq!(got[1].body["reason"], "Success");
    assert_eq!(api.count(OWED).await, 2);
}

#[tokio::test]
async fn each_namespace_hears_of_its_own_end() {
    let receiver = Receiver::taking_all().await;
    let api = TestApi::with(open).await;
    let id = api.submit_job("q", submission(1, "_", &receiver.url)).await;
    api.submit_job("q", submission(1, "other", &receiver.url)).await;
    receiver.until(2).await;
    api.post(&format!("/q/q/j/{id}/other/cancel"), json!({})).await;
    let left = receiver.until(3).await.remove(2).body;
    assert_eq!((&left["namespace"], &left["reason"]), (&json!("other"), &json!("Cancelled")));
    let (_, epoch) = api.claim_one("q", "w").await;
    assert_eq!(api.finish(&id, epoch).await, 200);
    let ended = receiver.until(4).await.remove(3).body;
    assert_eq!((&ended["namespace"], &ended["reason"]), (&json!("_"), &json!("Success")));
    outbox_is_empty(&api).await;
}

#[tokio::test]
async fn a_newer_job_of_the_namespace_tells_whom_it_replaced() {
    let receiver = Receiver::taking_all().await;
    let api = TestApi::with(open).await;
    let old = api.submit_job("q", submission(1, "mine", &receiver.url)).await;
    receiver.until(1).await;
    let new = api.submit_job("q", submission(2, "mine", &receiver.url)).await;
    let got = receiver.until(3).await;
    let of = |id: &str, event: &str| got.iter().find(|g| g.body["jobId"] == id && g.event() == event).map(|g| g.body.clone());
    assert_eq!(of(&old, "finished").unwrap()["reason"], "JobReplacedByClient");
    assert!(of(&new, "queued").is_some() && of(&new, "finished").is_none());
}

#[tokio::test]
async fn nothing_is_delivered_before_the_commit() {
    let receiver = Receiver::taking_all().await;
    let api = TestApi::with(open).await;
    let id = api.submit_job("q", submission(1, "_", &receiver.url)).await;
    receiver.until(1).await;
    // The job ends in a transaction that stays open: the trigger has made the delivery due, but it is not visible yet.
    let mut database = api.database().await;
    let mut transaction = database.begin().await.unwrap();
    let cancel = "select asman.cancel(asman.qid('q'), $1, '_', 'Cancelled', null)";
    sqlx::query(cancel).bind(&id).execute(&mut *transaction).await.unwrap();
    // Another job's deliveries are sent meanwhile, which shows that the outbox was read.
    api.submit_job("q", submission(2, "_", &receiver.url)).await;
    let got = receiver.until(2).await;
    assert!(got.iter().all(|delivery| delivery.event() == "queued"), "the open transaction has caused no delivery");
    transaction.commit().await.unwrap();
    assert_eq!(receiver.until(3).await[2].body["jobId"], *id);
}

#[tokio::test]
async fn a_submitter_is_told_of_its_job_by_the_id_that_it_sent() {
    let receiver = Receiver::taking_all().await;
    let api = TestApi::with(open).await;
    let definition = json!({"image": "a", "env": {}});
    let (new, old) = (protocol::job_id_of(&definition), protocol::old_job_id_of(&definition));
    let callbacks = |to: &str| json!({"callbacks": {"finished": {"url": format!("{}/{to}", receiver.url)}}});
    for (id, to) in [(json!(old), "old"), (json!(null), "new")] {
        let body = json!({"id": id, "definition": definition, "control": callbacks(to)});
        assert_eq!(api.submit_job("q", body).await, new);
    }
    let (_, epoch) = api.claim_one("q", "w").await;
    assert_eq!(api.finish(&new, epoch).await, 200);
    let got = receiver.until(2).await;
    for (to, id) in [("/old", &old), ("/new", &new)] {
        let told = got.iter().find(|delivery| delivery.path == to).unwrap();
        assert_eq!(told.body["jobId"], json!(id), "{to}");
        let at = told.body["resultUrl"].as_str().unwrap();
        assert_eq!(api.get(&at[at.find("/q/").unwrap()..]).await.1["data"]["finishedReason"], "Success", "{to}");
    }
}
