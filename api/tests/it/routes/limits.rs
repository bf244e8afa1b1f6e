//! Limits for one address, queue or socket. The tests connect from loopback, which is not counted, and name other addresses in a
//! header as a trusted proxy does.

use migrations::testing::queue_jobs;
use sqlx::{AssertSqlSafe, Executor};
use std::time::Duration;

use api::Config;
use futures_util::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::json;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::socket::Socket;
use crate::test_api::{TestApi, assert_one_sentence, body_of, definition, in_time};

/// Settings of an API behind one proxy.
fn behind_proxy(set: impl FnOnce(&mut Config)) -> impl FnOnce(&mut Config) {
    |config| {
        config.limits.trusted_proxies = 1;
        set(config);
    }
}

async fn submit_from(api: &TestApi, address: &str, n: u32) -> reqwest::Response {
    let request = api.request(Method::POST, "/q/q").header("x-forwarded-for", address);
    request.json(&json!({"definition": definition(n)})).send().await.unwrap()
}

/// Opens a socket as a proxy does for a client with this address. Returns the status if it is refused.
async fn connect_from(api: &TestApi, address: &str, queue: &str) -> Result<Socket, u16> {
    let mut request = format!("{}/q/{queue}/client", api.url.replace("http", "ws")).into_client_request().unwrap();
    request.headers_mut().insert("x-forwarded-for", address.parse().unwrap());
    match in_time(tokio_tungstenite::connect_async(request)).await {
        Ok((stream, _)) => Ok(Socket { stream }),
        Err(tungstenite::Error::Http(response)) => {
            assert!(response.headers().contains_key("retry-after"));
            Err(response.status().as_u16())
        }
        Err(error) => panic!("{error}"),
    }
}

async fn metric(api: &TestApi, limit: &str) -> u64 {
    let text = api.fetch("/metrics").await.text().await.unwrap();
    let line = format!("asman_limited_total{{limit=\"{limit}\"}} ");
    text.lines().find_map(|l| l.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn an_address_that_sends_too_much_gets_429_and_others_go_on() {
    let api = TestApi::with(behind_proxy(|config| config.limits.submits_per_address = "2/h".parse().unwrap())).await;
    for n in 0..2 {
        assert_eq!(submit_from(&api, "203.0.113.7", n).await.status(), 200);
    }
    let response = submit_from(&api, "spoofed, 203.0.113.7", 3).await;
    let seconds: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=1_800).contains(&seconds), "{seconds}");
    let (status, body) = body_of(response).await;
    assert_eq!(status, 429);
    assert_one_sentence(&body);
    assert_eq!(api.count("select count(*) from asman.queued").await, 2, "nothing is stored");
    assert_eq!(submit_from(&api, "203.0.113.8", 4).await.status(), 200);
    assert_eq!(submit_from(&api, "2001:db8::1", 5).await.status(), 200);
    assert_eq!(submit_from(&api, "2001:db8::2", 6).await.status(), 200);
    assert_eq!(submit_from(&api, "2001:db8::3", 7).await.status(), 429, "one /64 is one customer");
    for n in 10..20 {
        api.submit("q", n).await;
    }
    assert_eq!(metric(&api, "submits_per_address").await, 2);
}

#[tokio::test]
async fn a_queue_that_gets_too_much_answers_429_whoever_sends() {
    let api = TestApi::with(behind_proxy(|config| config.limits.submits_per_queue = "3/h".parse().unwrap())).await;
    for n in 0..3 {
        assert_eq!(submit_from(&api, &format!("203.0.113.{n}"), n).await.status(), 200);
    }
    assert_eq!(submit_from(&api, "203.0.113.9", 9).await.status(), 429);
    assert_eq!(metric(&api, "submits_per_queue").await, 1);
}

#[tokio::test]
async fn loopback_is_not_counted_by_address_but_by_queue() {
    let api = TestApi::with(|config| {
        config.limits.submits_per_queue = "3/h".parse().unwrap();
        config.limits.submits_per_address = "1/h".parse().unwrap();
    })
    .await;
    for n in 0..3 {
        api.submit("q", n).await;
    }
    let (status, body) = api.post("/q/q", json!({"definition": definition(9)})).await;
    assert_eq!((status, &body["code"]), (429, &json!("queue-limit")), "a proxy on this machine may forward for others");
    api.submit("another", 1).await;
}

#[tokio::test]
async fn without_a_trusted_proxy_a_forwarded_address_is_no_way_around_a_limit() {
    let api = TestApi::with(|config| config.limits.submits_per_address = "2/h".parse().unwrap()).await;
    let mut statuses = Vec::new();
    for n in 0..3 {
        statuses.push(submit_from(&api, &format!("203.0.113.{n}"), n).await.status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 429]);
}

#[tokio::test]
async fn uploads_have_a_limit_too() {
    let api = TestApi::with(behind_proxy(|config| config.limits.uploads_per_address = "1/h".parse().unwrap())).await;
    let put =
        |key: &str| api.request(Method::PUT, &format!("/f/{key}")).header("x-forwarded-for", "203.0.113.7").body("x").send();
    assert_eq!(put("a").await.unwrap().status(), 200);
    let (status, body) = body_of(put("b").await.unwrap()).await;
    assert_eq!(status, 429);
    assert_one_sentence(&body);
    assert_eq!(api.get("/f/b/exists").await.0, 404);
}

#[tokio::test]
async fn a_queue_without_a_policy_is_full_at_the_instances_depth() {
    let api = TestApi::with(|config| config.limits.queue_depth = "2".parse().unwrap()).await;
    let rows =
        "select asman.qid('q') as qid, n::text as job_id, 7 as class, 1 as cpus, '{}' as tags from generate_series(1, 2) n";
    api.database().await.execute(AssertSqlSafe(queue_jobs(rows))).await.unwrap();
    let response = api.request(Method::POST, "/q/q").json(&json!({"definition": definition(1)})).send().await.unwrap();
    assert!(response.headers().contains_key("retry-after"));
    assert_eq!(response.status(), 429);
    assert_eq!(api.count("select count(*) from asman.definition").await, 0);
    let again = json!({"id": "1", "definition": definition(1)});
    assert_eq!(api.post("/q/q", again).await.0, 200, "a job that waits already may be sent again");
    api.submit("other", 1).await;
}

#[tokio::test]
async fn sockets_have_places_by_address_and_by_queue_that_become_free_again() {
    let api = TestApi::with(behind_proxy(|config| {
        config.limits.sockets_per_address = "1".parse().unwrap();
        config.limits.sockets_per_queue = "2".parse().unwrap();
    }))
    .await;
    let first = connect_from(&api, "203.0.113.1", "q").await.ok().unwrap();
    assert_eq!(connect_from(&api, "203.0.113.1", "other").await.err(), Some(429));
    let _second = connect_from(&api, "203.0.113.2", "q").await.ok().unwrap();
    assert_eq!(connect_from(&api, "203.0.113.3", "q").await.err(), Some(429));
    drop(first);
    let again = crate::test_api::eventually("the slot is free", || async { connect_from(&api, "203.0.113.1", "q").await.ok() });
    again.await;
    assert!(metric(&api, "sockets_per_address").await >= 1 && metric(&api, "sockets_per_queue").await >= 1);
}

#[tokio::test]
async fn sockets_may_not_be_opened_again_and_again() {
    let api = TestApi::with(behind_proxy(|config| config.limits.connects_per_address = "2/h".parse().unwrap())).await;
    for _ in 0..2 {
        drop(connect_from(&api, "203.0.113.1", "q").await.ok().unwrap());
    }
    assert_eq!(connect_from(&api, "203.0.113.1", "q").await.err(), Some(429));
}

#[tokio::test]
async fn a_socket_that_floods_is_ignored_and_then_closed() {
    let api = TestApi::with(|config| config.limits.messages_per_socket = "5/h".parse().unwrap()).await;
    let mut socket = Socket::connect(&api, "/q/q/client").await;
    for _ in 0..8 {
        socket.send_text("PING").await;
    }
    let mut pongs = 0;
    // After the fifth message the server does not answer any more; the tenth message makes it close the socket.
    for _ in 0..5 {
        pongs += u32::from(socket.until(|m| (m == "PONG").then_some(true)).await);
    }
    for _ in 0..5 {
        let _ = socket.stream.send(Message::text("PING")).await;
    }
    assert_eq!((pongs, socket.closed().await), (5, Some(1008)));
    assert!(metric(&api, "messages_per_socket").await >= 5);
}

#[tokio::test]
async fn a_socket_without_a_sign_of_life_is_closed_and_one_that_answers_pings_is_not() {
    let api = TestApi::with(|config| config.limits.socket_idle = "1500ms".parse().unwrap()).await;
    let mut silent = Socket::connect(&api, "/q/q/client").await;
    let mut alive = Socket::connect(&api, "/q/q/client").await;
    // A client that reads answers the server's pings automatically; the silent client does not read.
    let listening = tokio::spawn(async move {
        let end = tokio::time::timeout(Duration::from_secs(5), async {
            while let Some(Ok(message)) = alive.stream.next().await {
                assert!(!matches!(message, Message::Close(_)));
            }
        });
        assert!(end.await.is_err(), "it is open after three times that time");
    });
    crate::test_api::eventually("the silent one is closed", || async { (metric(&api, "socket_idle").await >= 1).then_some(()) })
        .await;
    // The silent client's late pongs reach a closed connection, so the close code may be lost on the way.
    assert!(matches!(silent.closed().await, Some(1001) | None));
    in_time(listening).await.unwrap();
}
