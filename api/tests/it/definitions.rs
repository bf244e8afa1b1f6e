//! The allowed content of a definition. It is the same through REST, sockets and SQL: `protocol/vectors/definitions.json`.

use protocol::{Coded, ErrorCode, ParsedDefinition};
use serde_json::{Value, json};
use sqlx::postgres::PgDatabaseError;
use sqlx::{PgConnection, Row};

use crate::socket::Socket;
use crate::test_api::{TestApi, body_of};

const CASES: &str = include_str!("../../../protocol/vectors/definitions.json");

/// `@5@` stands for `xxxxx`, `@3:ab@` for `ababab`.
fn expanded(text: &str) -> String {
    let mut out = String::new();
    for (n, piece) in text.split('@').enumerate() {
        let (number, unit) = piece.split_once(':').unwrap_or((piece, "x"));
        match number.parse::<usize>() {
            Ok(times) if n % 2 == 1 => out += &unit.repeat(times),
            _ if n % 2 == 1 => out += &format!("@{piece}"),
            _ => out += piece,
        }
    }
    out
}

fn cases() -> Vec<Value> {
    serde_json::from_str(CASES).unwrap()
}

/// The sentence and the code of a database error.
fn refusal(error: &sqlx::Error) -> (String, String) {
    let error = error.as_database_error().unwrap_or_else(|| panic!("{error}")).downcast_ref::<PgDatabaseError>();
    (error.message().to_owned(), error.detail().unwrap_or_default().to_owned())
}

async fn in_sql(db: &mut PgConnection, text: &str) -> Result<(i64, i64), (String, String)> {
    let check = sqlx::query("select asman.check_definition($1::jsonb)").bind(text).execute(&mut *db).await;
    check.map_err(|error| refusal(&error))?;
    let needs = sqlx::query("select max_seconds::int8, memory_bytes from asman.needs_of($1::jsonb)").bind(text);
    let row = needs.fetch_one(db).await.unwrap();
    Ok((row.get(0), row.get(1)))
}

#[tokio::test]
async fn sql_reads_and_refuses_what_rust_does_with_the_same_code() {
    let api = TestApi::new().await;
    let mut db = api.database().await;
    for case in cases().iter().filter(|case| case.get("sql").is_none()) {
        let text = case["text"].as_str().unwrap();
        let whole = expanded(text);
        match (ParsedDefinition::parse(&whole), in_sql(&mut db, &whole).await) {
            (Ok(parsed), Ok((seconds, bytes))) => {
                let rounded = i64::try_from(parsed.max_duration.as_millis().div_ceil(1_000)).unwrap();
                assert_eq!((seconds, bytes), (rounded, i64::try_from(parsed.memory_bytes).unwrap()), "{text}");
            }
            (Err(error), Err((sentence, code))) => {
                assert_eq!(code, error.code().as_str(), "{text}: {sentence}");
                let is_same = sentence == error.to_string() || error.code() == ErrorCode::UnreadableDefinition;
                assert!(is_same, "{text}: {sentence} | {error}");
            }
            (rust, sql) => panic!("{text}: {:?} {sql:?}", rust.map(|_| ())),
        }
    }
}

#[tokio::test]
async fn rest_and_sockets_refuse_it_and_nothing_is_stored() {
    let api = TestApi::new().await;
    let mut socket = Socket::connect(&api, "/q/q/client").await;
    for (n, case) in cases().iter().enumerate().filter(|(_, case)| case.get("code").is_some()) {
        let definition = expanded(case["text"].as_str().unwrap());
        let (status, answer) = api.post_text("/q/q", format!(r#"{{"definition":{definition}}}"#)).await;
        assert_eq!((status, &answer["code"]), (400, &case["code"]), "{definition:.80} {answer}");
        let sent = format!(
            r#"{{"type":"StateChange","payload":{{"tag":"","job":"job-{n}","state":"Queued","value":{{"type":"Queued","time":1,"enqueued":{{"id":"job-{n}","definition":{definition}}}}}}}}}"#
        );
        socket.send_text(&sent).await;
    }
    socket.ping().await;
    assert_eq!(api.count("select count(*) from asman.queued").await, 0);
}

#[tokio::test]
async fn an_id_that_urls_lose_on_the_way_is_refused_everywhere() {
    let api = TestApi::new().await;
    let mut socket = Socket::connect(&api, "/q/q/client").await;
    for id in [".", "..", "%2e%2e", ".%2E", r"a\\b", "a/b", ""] {
        let body = format!(r#"{{"id":"{id}","definition":{{"image":"a"}}}}"#);
        let (status, answer) = api.post_text("/q/q", body.clone()).await;
        assert_eq!(status, 400, "{id} {answer}");
        assert!(matches!(answer["code"].as_str(), Some("invalid-name" | "invalid-body")), "{answer}");
        let sent = format!(
            r#"{{"type":"StateChange","payload":{{"tag":"","job":"{id}","state":"Queued","value":{{"type":"Queued","time":1,"enqueued":{body}}}}}}}"#
        );
        socket.send_text(&sent).await;
    }
    socket.ping().await;
    for control in [r#"{"namespace":".."}"#, r#"{"namespace":"%2e"}"#, r#"{"maxDuration":90}"#, r#"{"maxDuration":"0"}"#] {
        let (status, answer) = api.post_text("/q/q", format!(r#"{{"definition":{{"image":"a"}},"control":{control}}}"#)).await;
        assert_eq!(status, 400, "{control} {answer}");
    }
    let copy = api.post("/j/x/copy", json!({"queue": ".."})).await;
    assert_eq!(copy.0, 400);
    assert_eq!(api.count("select count(*) from asman.queued").await, 0);
    let mut db = api.database().await;
    for call in [
        "select asman.enqueue('..', '{\"image\": \"a\"}')",
        "select asman.enqueue('q', '{\"image\": \"a\"}', '{\"namespace\": \"..\"}')",
        "select asman.enqueue('q', '{\"image\": \"a\"}', '{\"maxDuration\": 90}')",
        "select asman.cancel('q', '..')",
    ] {
        let error = sqlx::query(call).execute(&mut db).await.unwrap_err();
        let code = ErrorCode::named(&refusal(&error).1).unwrap();
        assert!(matches!(code, ErrorCode::InvalidName | ErrorCode::InvalidDuration), "{call} {code}");
    }
    let dots = sqlx::query(
        "insert into asman.job (qid, job_id, definition_hash, class, max_seconds, is_true_id, namespaces) \
         values (asman.qid('q'), '..', sha256('d'), 7, 1, false, '{_}')",
    );
    let error = dots.execute(&mut db).await.unwrap_err().to_string();
    assert!(error.contains("job_id_is_a_segment"), "{error}");
}

#[tokio::test]
async fn maps_with_nothing_in_them_do_not_count_in_what_sql_sends() {
    let api = TestApi::new().await;
    let mut db = api.database().await;
    let full = r#"{"image": "a", "command": "x", "env": {}, "inputs": {}, "configFiles": {}, "requirements": {}}"#;
    let id: String = sqlx::query("select asman.enqueue('q', $1::jsonb)").bind(full).fetch_one(&mut db).await.unwrap().get(0);
    assert_eq!(id, protocol::job_id_of(&json!({"image": "a", "command": "x"})));
    let asked = api.request(reqwest::Method::GET, &format!("/q/q/j/{id}/definition.json")).send().await.unwrap();
    let sent: serde_json::Value = serde_json::from_str(full).unwrap();
    assert_eq!(body_of(asked).await.1["data"], sent, "it is stored as it was sent");
}
