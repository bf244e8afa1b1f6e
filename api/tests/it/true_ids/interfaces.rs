//! Jobs through every interface, and by each of their ids.

use serde_json::{Value, json};

use super::{READS, ids, with_two_ids};
use crate::socket::{Socket, ending, submission};
use crate::test_api::{TestApi, definition};

const ROWS: &str =
    "select (select count(*) from asman.queued) + (select count(*) from asman.running) + (select count(*) from asman.finished)";

async fn enqueue(api: &TestApi, queue: &str, definition: &Value) -> String {
    let query = sqlx::query_scalar("select asman.enqueue($1, $2::text::jsonb)").bind(queue).bind(definition.to_string());
    query.fetch_one(&mut api.database().await).await.unwrap()
}

#[tokio::test]
async fn every_vector_has_its_id_by_rest_and_by_sql_and_is_found_by_both() {
    let api = TestApi::new().await;
    let vectors: Vec<Value> = serde_json::from_str(include_str!("../../../../protocol/vectors/job-ids.json")).unwrap();
    let mut n_taken = 0;
    for vector in vectors.iter().filter(|vector| vector["id"].is_string()) {
        let definition = &vector["definition"];
        let (status, answer) = api.post("/q/rest", json!({"definition": definition})).await;
        if status == 400 {
            // The API refuses definitions that no worker could run, so their ids do not matter.
            assert!(["no-image", "invalid-number", "invalid-image"].contains(&answer["code"].as_str().unwrap()), "{answer}");
            continue;
        }
        n_taken += 1;
        assert_eq!((status, &answer["jobId"]), (200, &vector["id"]), "{vector}");
        assert_eq!(enqueue(&api, "sql", definition).await, vector["id"], "{vector}");
        let old = protocol::old_job_id_of(definition);
        let by_old = api.post("/q/rest", json!({"id": old, "definition": definition})).await;
        assert_eq!(by_old, (200, json!({"success": true, "jobId": vector["id"]})), "{vector}");
        for id in [vector["id"].as_str().unwrap(), &old] {
            for path in [format!("/j/{id}"), format!("/q/rest/j/{id}"), format!("/q/sql/j/{id}")] {
                assert_eq!(api.get(&path).await.0, 200, "{path} of {vector}");
            }
        }
    }
    let distinct: std::collections::HashSet<&str> = vectors.iter().filter_map(|vector| vector["id"].as_str()).collect();
    assert!(n_taken >= 20 && distinct.len() >= 15, "{n_taken} {}", distinct.len());
    let doubled = "select count(*) from (select from asman.queued_job group by qid, job_id having count(*) > 1) d";
    assert_eq!(api.count(doubled).await, 0);
}

#[tokio::test]
async fn a_job_runs_once_whichever_way_and_by_whichever_id_it_comes() {
    let api = TestApi::new().await;
    let sent = with_two_ids("1");
    let [new, old] = ids(&sent);
    let bare = json!({"image": "alpine:3.18.5", "command": "1"});
    let (mut page, mut older) = (Socket::connect(&api, "/q/q/client").await, Socket::connect(&api, "/q/q/client").await);
    older.send(&submission(&old, &sent)).await;
    older.until_job(&old, "Queued").await;
    page.send(&submission(&new, &sent)).await;
    page.until_job(&new, "Queued").await;
    for body in [json!({"definition": sent}), json!({"id": old, "definition": sent}), json!({"id": new, "definition": bare})] {
        assert_eq!(api.submit_job("q", body).await, new);
    }
    assert_eq!(enqueue(&api, "q", &sent).await, new);
    for id in [&old, &new] {
        let copied = api.post(&format!("/j/{id}/copy"), json!({"queue": "q"})).await;
        assert_eq!(copied, (200, json!({"success": true, "jobId": new})));
    }
    let (status, skipped) = api.post("/q/q/api/v1/queue/put", json!({&old: sent, &new: bare})).await;
    assert_eq!((status, skipped["detail"].as_array().unwrap().len()), (200, 2), "{skipped}");
    assert_eq!(api.count(ROWS).await, 1);
    let listed = api.get("/q/q").await.1["data"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(listed, std::slice::from_ref(&new));

    // The first submission decides only which text of the definition is stored, not the id.
    let (claimed, epoch) = api.claim_one("q", "w").await;
    assert_eq!(claimed, new);
    page.until_job(&new, "Running").await;
    older.until_job(&old, "Running").await;
    assert_eq!(api.log(&new, epoch, 0, "Running", &["hello"]).await, 200);
    for (socket, id) in [(&mut page, &new), (&mut older, &old)] {
        let line = socket.until(|message| (message["type"] == "JobStatusPayload").then(|| message["payload"].clone())).await;
        assert_eq!((&line["jobId"], &line["logs"][0][0]), (&json!(id), &json!("hello")));
    }
    let result = json!({"StatusCode": 0, "isTimedOut": false, "outputs": {"out.txt": {"value": "made"}}});
    let finish = json!({"epoch": epoch, "reason": "Success", "result": result});
    assert_eq!(api.post(&format!("/q/q/j/{new}/finish"), finish).await.0, 200);
    page.until_job(&new, "Finished").await;
    older.until_job(&old, "Finished").await;

    for below in READS {
        for base in ["/q/q/j", "/j"] {
            let both = super::read_by_both(&api, base, [&new, &old], below).await;
            assert_eq!(both[0], both[1], "{base}…{below}");
            assert_eq!(both[0].0, 200, "{base}…{below}");
        }
    }
    assert_eq!(api.get(&format!("/j/{old}/outputs/out.txt")).await.1, "made");
    assert_eq!(api.get(&format!("/q/q/j/{old}/namespaces.json")).await.0, 200);
    let stream = api.fetch(&format!("/q/q/j/{old}/stream")).await.text().await.unwrap();
    assert!(stream.contains("hello") && stream.contains("final"), "{stream}");
    assert_eq!(api.get(&format!("/q/q/api/v1/queue/item/{old}")).await.1["item_id"], new);
    // The job's result is reused under both ids, and nothing runs again.
    for id in [&new, &old] {
        assert_eq!(api.submit_job("q", json!({"id": id, "definition": sent})).await, new);
    }
    assert_eq!(api.count(ROWS).await, 1);
}

#[tokio::test]
async fn a_socket_is_told_of_a_job_by_the_id_that_it_asked_for_and_by_no_other() {
    let api = TestApi::new().await;
    let sent = with_two_ids("1");
    let [new, old] = ids(&sent);
    api.submit_job("q", json!({"definition": sent})).await;
    let other = api.submit("q", 7).await;
    let mut socket = Socket::connect(&api, "/q/q/client").await;
    socket.send(&json!({"type": "QueryJob", "payload": {"jobId": old}})).await;
    let update = socket.until(|m| (m["type"] == "JobStateUpdates").then(|| m["payload"]["state"]["jobs"].clone())).await;
    assert_eq!(update.as_object().unwrap().keys().collect::<Vec<_>>(), [&old]);
    socket.send(&json!({"type": "QueryJobStates"})).await;
    let all = socket.until(|m| (m["type"] == "JobStates").then(|| m["payload"]["state"]["jobs"].clone())).await;
    assert!(all.get(&old).is_some() && all.get(&other).is_some() && all.get(&new).is_none(), "{all}");
    // A client that asks for both ids gets messages with both.
    socket.send(&json!({"type": "QueryJob", "payload": {"jobId": new}})).await;
    socket.until_job(&new, "Queued").await;
    socket.send(&json!({"type": "QueryJobStates"})).await;
    let all = socket.until(|m| (m["type"] == "JobStates").then(|| m["payload"]["state"]["jobs"].clone())).await;
    assert_eq!(all.as_object().unwrap().len(), 3, "{all}");

    let mut canceller = Socket::connect(&api, "/q/q/client").await;
    canceller.send(&ending(&old, "Deleted")).await;
    let cleared = canceller.until(|m| (m["type"] == "ClearJobCache").then(|| m["payload"]["jobId"].clone())).await;
    assert_eq!(cleared, json!(old));
    assert_eq!(api.state(&new).await, "finished");
}

#[tokio::test]
async fn a_job_is_cancelled_by_either_id() {
    let api = TestApi::new().await;
    for n in 0..3 {
        let sent = with_two_ids(&n.to_string());
        let [new, old] = ids(&sent);
        api.submit_job("q", json!({"id": old, "definition": sent})).await;
        match n {
            0 => {
                let answer = api.post(&format!("/q/q/j/{old}/cancel"), json!({})).await;
                assert_eq!(answer, (200, json!({"success": true, "jobId": old, "namespace": "_"})));
            }
            1 => assert_eq!(api.post(&format!("/q/q/j/{new}/cancel"), json!({})).await.0, 200),
            _ => {
                let cancel = sqlx::query_scalar("select asman.cancel('q', $1)").bind(&old);
                let outcome: String = cancel.fetch_one(&mut api.database().await).await.unwrap();
                assert_eq!(outcome, "ended");
            }
        }
        assert_eq!(api.state(&new).await, "finished", "{n}");
    }
    assert_eq!(api.count("select count(*) from asman.queued").await, 0);
}

#[tokio::test]
async fn an_id_that_no_rule_gives_is_kept_to_its_queue() {
    let api = TestApi::new().await;
    let sent = with_two_ids("1");
    let [new, old] = ids(&sent);
    let [_, foreign] = ids(&with_two_ids("2"));
    for id in ["mine", &foreign] {
        assert_eq!(api.submit_job("q", json!({"id": id, "definition": sent})).await, id);
        assert_eq!((api.get(&format!("/j/{id}")).await.0, api.get(&format!("/q/q/j/{id}")).await.0), (404, 200));
    }
    // A definition of another job does not change that, before or after.
    api.submit_job("other", json!({"definition": with_two_ids("2")})).await;
    assert_eq!(api.get(&format!("/q/q/j/{foreign}/definition.json")).await.1["data"], sent);
    assert_eq!(api.get(&format!("/j/{foreign}/definition.json")).await.1["data"], with_two_ids("2"));
    assert_eq!((api.get(&format!("/j/{new}")).await.0, api.get(&format!("/j/{old}")).await.0), (404, 404));
    let plain = definition(3);
    assert_eq!(api.submit_job("q", json!({"id": "x", "definition": plain})).await, "x");
    assert_eq!(api.count("select count(*) from asman.queued_job where job_id in ('mine', 'x')").await, 2);
}

#[tokio::test]
async fn what_counts_in_the_id_is_what_a_worker_is_asked_for() {
    let api = TestApi::new().await;
    // A definition that a worker would build counts as a build in the id too.
    for (definition, labels) in [
        (json!({"image": "a", "build": {"filename": null}}), "{}"),
        (json!({"image": "a", "secrets": []}), "{}"),
        (json!({"image": "a", "secrets": ["S"]}), "{\"\",secret:S}"),
        (json!({"image": "a", "build": {"filename": "D"}}), "{\"\",builds}"),
    ] {
        for (queue, id) in [
            ("rest", api.submit_job("rest", json!({"definition": definition})).await),
            ("sql", enqueue(&api, "sql", &definition).await),
        ] {
            assert_eq!(id, protocol::job_id_of(&definition));
            let query = "select tags::text from asman.queued_job where qid = asman.qid($1) and job_id = $2";
            let row: String = sqlx::query_scalar(query).bind(queue).bind(&id).fetch_one(&mut api.database().await).await.unwrap();
            assert_eq!(row, labels, "{queue} {definition}");
        }
    }
    assert_eq!(api.count("select count(distinct job_id) from asman.queued_job").await, 3);
}
