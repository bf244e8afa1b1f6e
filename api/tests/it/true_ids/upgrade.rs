//! A database of a release before today's rule: its rows have the old ids.

use migrations::migrate;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor};

use super::{READS, ids, with_two_ids};
use crate::socket::{Socket, submission};
use crate::test_api::{TestApi, held};

/// Replaces the job's id in its rows by the id of the earlier release.
async fn date_back(api: &TestApi, new: &str, old: &str) {
    for table in ["job", "log_chunk", "webhook", "hold"] {
        let statement = format!("update asman.{table} set job_id = '{old}' where job_id = '{new}'");
        api.database().await.execute(AssertSqlSafe(statement)).await.unwrap();
    }
}

/// Changes the schema back to that of the earlier release, as far as ids are concerned.
const BEFORE: &str = "drop function asman.submit_within_limits, asman.submit; drop table asman.alias; \
    alter table asman.webhook drop column sent_id; delete from asman.migration where version = 9; \
    create or replace function asman.job_id(definition jsonb) returns text language sql as 'select asman.old_job_id(definition)'";

/// The test sends no heartbeats, and its claim must not be lost even on a slow machine.
fn with_long_lease(config: &mut api::Config) {
    config.lease = protocol::Duration(std::time::Duration::from_hours(1));
}

async fn run(api: &TestApi, claim: &Value) {
    let (id, epoch) = held(claim);
    assert_eq!(api.log(&id, epoch, 0, "Running", &["hello"]).await, 200);
    let result = json!({"StatusCode": 0, "isTimedOut": false, "outputs": {"out.txt": {"value": "made"}}});
    let finish = json!({"epoch": epoch, "reason": "Success", "result": result});
    assert_eq!(api.post(&format!("/q/q/j/{id}/finish"), finish).await.0, 200);
}

/// Fails unless everything about the job can be read by both of its ids.
async fn assert_read_by_both(api: &TestApi, definition: &Value) {
    let [new, old] = ids(definition);
    for (base, below) in ["/q/q/j", "/j"].into_iter().flat_map(|base| READS.map(|below| (base, below))) {
        let both = super::read_by_both(api, base, [&new, &old], below).await;
        assert_eq!(both[0], both[1], "{base}…{below}");
        assert_eq!(both[0].0, 200, "{base}…{below} of {definition}");
    }
}

#[tokio::test]
async fn jobs_of_the_release_before_are_found_by_either_id_and_nothing_runs_twice() {
    let before = TestApi::with(with_long_lease).await;
    let [done, waits, runs, by_page] = ["done", "waits", "runs", "by page"].map(with_two_ids);
    // One ended job has a true id. The other was sent by a page of today: by the rule of the earlier release its id was not a true id.
    for definition in [&done, &by_page] {
        before.submit_job("q", json!({"definition": definition})).await;
        run(&before, &before.claim("q", "w", 1, "15s").await[0]).await;
    }
    before.submit_job("q", json!({"definition": runs})).await;
    let (_, epoch) = before.claim_one("q", "w").await;
    before.submit_job("q", json!({"definition": waits})).await;
    for definition in [&done, &waits, &runs] {
        let [new, old] = ids(definition);
        date_back(&before, &new, &old).await;
    }
    let unknowing = format!("update asman.job set is_true_id = false where job_id = '{}'", ids(&by_page)[0]);
    before.database().await.execute(AssertSqlSafe(unknowing)).await.unwrap();
    // An item's body may be anything, and so may its stored text.
    before.execute("insert into asman.definition (hash, body) values (sha256('1'), '{\"image\": \"\\ud800\"}'), (sha256('2'), '{\"image\": 1e999}')").await;
    before.execute(BEFORE).await;
    let url = before.database_url.clone();
    drop(before);

    assert_eq!(migrate(&url).await.unwrap(), ["V009 aliases"]);
    let api = TestApi::over(&url, with_long_lease).await;
    assert_eq!(api.count("select count(*) from asman.alias").await, 4);

    // Links and results of the ended jobs.
    for definition in [&done, &by_page] {
        assert_read_by_both(&api, definition).await;
    }
    for definition in [&waits, &runs] {
        for id in ids(definition) {
            assert_eq!(api.get(&format!("/j/{id}")).await.1["data"]["definition"], *definition);
        }
    }

    // Resubmissions: under either id, without an id, and with another text of the same work. The existing row answers each of them.
    for definition in [&done, &waits, &runs, &by_page] {
        let [new, old] = ids(definition);
        let mut bare = definition.clone();
        bare.as_object_mut().unwrap().remove("env");
        let row = if definition == &by_page { &new } else { &old };
        for body in [
            json!({"id": old, "definition": definition}),
            json!({"id": new, "definition": definition}),
            json!({"definition": bare}),
            json!({"definition": definition, "control": {"namespace": "n"}}),
        ] {
            assert_eq!(api.submit_job("q", body).await, *row);
        }
        let mut socket = Socket::connect(&api, "/q/q/client").await;
        socket.send(&submission(&new, &bare)).await;
        socket.until(|message| message["payload"]["state"]["jobs"].get(&new).map(|_| ())).await;
    }
    let rows = "select (select count(*) from asman.queued) * 100 + (select count(*) from asman.running) * 10 + (select count(*) from asman.finished)";
    assert_eq!(api.count(rows).await, 112, "as they were");

    // A running job continues to its end under the id that its worker uses, and the other id also works.
    let [new, old] = ids(&runs);
    let mut socket = Socket::connect(&api, "/q/q/client").await;
    socket.send(&json!({"type": "QueryJob", "payload": {"jobId": new}})).await;
    socket.until_job(&new, "Running").await;
    assert_eq!(api.finish(&old, epoch).await, 200);
    socket.until_job(&new, "Finished").await;
    assert_eq!(api.state(&new).await, "finished");
    let (claimed, epoch) = api.claim_one("q", "w").await;
    assert_eq!(claimed, ids(&waits)[1]);
    assert_eq!(api.finish(&claimed, epoch).await, 200);

    // When the job runs again, it keeps its id. In another queue it gets the id of today's rule.
    let [new, old] = ids(&done);
    let again = json!({"id": new, "definition": done, "control": {"again": true}});
    assert_eq!((api.submit_job("q", again.clone()).await, api.submit_job("q", again).await), (old.clone(), old.clone()));
    assert_eq!(api.count("select count(*) from asman.queued").await, 1);
    assert_eq!(api.post(&format!("/j/{old}/copy"), json!({"queue": "other"})).await.1["jobId"], json!(new));
}
