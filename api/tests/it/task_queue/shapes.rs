//! Every answer that existing clients may see, compared byte by byte.

use reqwest::Method;

use super::{exact, get, ok, post, without_code};
use crate::test_api::TestApi;

#[tokio::test]
async fn items_are_put_counted_looked_up_and_claimed_with_exact_answers() {
    let api = TestApi::new().await;
    assert_eq!(ok(get(&api, "get/5")).await, "[]");
    assert_eq!(ok(post(&api, "put", "{}")).await, "null");
    assert_eq!(ok(post(&api, "put", r#"{"a": {"x": 1, "w": [1, 2]}, "b": null, "c é": "s", "": 7}"#)).await, "null");
    assert_eq!(ok(get(&api, "sizes")).await, r#"{"WAITING":4,"PROCESSING":0,"SUCCESS":0,"FAIL":0}"#);
    assert_eq!(ok(get(&api, "size/WAITING")).await, "4");
    assert_eq!(ok(get(&api, "lookup_state/WAITING")).await, r#"["a","b","c é",""]"#);
    assert_eq!(ok(get(&api, "status/a")).await, "0");
    assert_eq!(ok(get(&api, "lookup_item/c%20%C3%A9")).await, r#"{"item_id":"c é","status":0,"item_body":"s"}"#);
    assert_eq!(ok(get(&api, "peek/2")).await, r#"[["a",{"x":1,"w":[1,2]}],["b",null]]"#);
    assert_eq!(ok(get(&api, "get/2")).await, r#"[["a",{"x":1,"w":[1,2]}],["b",null]]"#);
    assert_eq!(ok(get(&api, "status/a")).await, "1");
    assert_eq!(ok(get(&api, "get/100")).await, r#"[["c é","s"],["",7]]"#, "what there is");
    assert_eq!(ok(get(&api, "lookup_state/PROCESSING")).await, r#"["a","b","c é",""]"#);
    let skipped = r#"{"detail":["Item 'a' already in queue. Skipping.","Item '' already in queue. Skipping."]}"#;
    assert_eq!(ok(post(&api, "put", r#"{"a":0,"new":1,"":2}"#)).await, skipped);
    assert_eq!(ok(get(&api, "lookup_item/a")).await, r#"{"item_id":"a","status":1,"item_body":{"x":1,"w":[1,2]}}"#);
    assert_eq!(ok(get(&api, "status/new")).await, "0", "the others of the same put are stored");
    let described = r#"{"implementation":"SQLQueue","arguments":{"connection_string":"postgresql://***","queue_name":"q"}}"#;
    assert_eq!(ok(get(&api, "describe")).await, described);
}

#[tokio::test]
async fn failed_items_are_queued_again_last_and_the_rest_is_named() {
    let api = TestApi::new().await;
    ok(post(&api, "put", r#"{"a":1,"b":2,"it's":3}"#)).await;
    ok(get(&api, "get/2")).await;
    for id in ["a", "b"] {
        ok(post(&api, &format!("fail/{id}"), "")).await;
    }
    assert_eq!(ok(post(&api, "requeue", "[]")).await, "null");
    assert_eq!(ok(post(&api, "requeue", r#"["b","b"]"#)).await, "null", "each id counts once");
    assert_eq!(ok(post(&api, "requeue", "\"a\"")).await, "null");
    assert_eq!(ok(get(&api, "lookup_state/WAITING")).await, r#"["it's","b","a"]"#);
    let skipped = r#"{"detail":["Item 'it's' not in a FAIL state. Skipping.","Item '' not in a FAIL state. Skipping."]}"#;
    assert_eq!(ok(post(&api, "requeue", r#"["it's","","it's"]"#)).await, skipped, "in the order of the request");
    assert_eq!(ok(get(&api, "get/3")).await, r#"[["it's",3],["b",2],["a",1]]"#);
    ok(post(&api, "success/a", "")).await;
    let skipped = r#"{"detail":["Item 'a' already in queue. Skipping."]}"#;
    assert_eq!(ok(post(&api, "put", r#"{"a":9}"#)).await, skipped, "ids are taken in every stage");
    assert_eq!(ok(get(&api, "sizes")).await, r#"{"WAITING":0,"PROCESSING":2,"SUCCESS":1,"FAIL":0}"#);
    // A body that is not JSON is taken as one id, including any quotes in it.
    let path = "/q/q/api/v1/queue/requeue";
    for (kind, text, quoted) in
        [("text/plain", "plain", "'plain'"), ("application/x-www-form-urlencoded", "\"x\"", "'\\\"x\\\"'")]
    {
        let said = format!("{{\"detail\":[\"Item {quoted} not in a FAIL state. Skipping.\"]}}");
        assert_eq!(ok(exact(&api, Method::POST, path, Some((kind, text.as_bytes())))).await, said);
    }
}

#[tokio::test]
async fn unknown_stages_and_ids_are_refused_in_known_words() {
    let api = TestApi::new().await;
    for (path, said) in [
        ("size/waiting", r#"{"detail":"waiting not a Queue Item Stage"}"#),
        ("size/0", r#"{"detail":"0 not a Queue Item Stage"}"#),
        ("lookup_state/N%C3%98PE", r#"{"detail":"NØPE not a Queue Item Stage"}"#),
        ("status/it's%20%C3%A9", r#"{"detail":"it's é not in Queue"}"#),
        ("lookup_item/x", r#"{"detail":"x not in Queue"}"#),
    ] {
        assert_eq!(get(&api, path).await, (400, said.to_owned()), "{path}");
    }
}

#[tokio::test]
async fn numbers_of_items_have_the_spellings_and_refusals_of_the_original() {
    let api = TestApi::new().await;
    for spelling in ["+2", "007", "1_0", "1.0", "2.0", "%202%20", "9223372036854775807", "9223372036854775808"] {
        assert_eq!(get(&api, &format!("get/{spelling}")).await, (200, "[]".to_owned()), "{spelling}");
    }
    for input in ["0", "-1", "-0"] {
        let said = format!(
            r#"{{"detail":[{{"type":"greater_than","loc":["path","n_items"],"msg":"Input should be greater than 0","input":"{input}","ctx":{{"gt":0}}}}]}}"#
        );
        assert_eq!(get(&api, &format!("get/{input}")).await, (422, said));
    }
    for input in ["abc", "1.5", "1e3", "0x10", "true"] {
        let said = format!(
            r#"{{"detail":[{{"type":"int_parsing","loc":["path","n_items"],"msg":"Input should be a valid integer, unable to parse string as an integer","input":"{input}"}}]}}"#
        );
        assert_eq!(get(&api, &format!("get/{input}")).await, (422, said));
    }
}

#[tokio::test]
async fn paths_and_methods_that_lead_nowhere_are_answered_in_the_known_shape() {
    let api = TestApi::new().await;
    let not_found = (404, r#"{"detail":"Not Found"}"#.to_owned());
    for path in ["status/", "get/", "size/", "get", "nope", "", "sizes/x", "size/a/b", "get/1/2"] {
        assert_eq!(get(&api, path).await, not_found, "{path}");
    }
    for path in ["//api/v1/queue/sizes", "/api/v2", "/api"] {
        assert_eq!(exact(&api, Method::GET, path, None).await, not_found, "{path}");
    }
    for (method, path, allow) in [
        (Method::POST, "sizes", "GET"),
        (Method::GET, "put", "POST"),
        (Method::HEAD, "sizes", "GET"),
        (Method::OPTIONS, "put", "POST"),
    ] {
        let response = api.request(method.clone(), &format!("/q/q/api/v1/queue/{path}")).send().await.unwrap();
        assert_eq!((response.status().as_u16(), &response.headers()["allow"]), (405, &allow.parse().unwrap()), "{method} {path}");
        let said = if method == Method::HEAD { "" } else { r#"{"detail":"Method Not Allowed"}"# };
        assert_eq!(without_code(405, response.text().await.unwrap()), said);
    }
    let response = api.fetch("/q/q/api/v1/queue/size/WAITING/?x=1").await;
    let location = format!("{}/q/q/api/v1/queue/size/WAITING?x=1", api.url);
    assert_eq!((response.status().as_u16(), response.headers()["location"].to_str().unwrap()), (307, location.as_str()));
    assert_eq!(response.text().await.unwrap(), "");
    let preflight = api.request(Method::OPTIONS, "/q/q/api/v1/queue/put").header("origin", "http://x");
    let preflight = preflight.header("access-control-request-method", "POST").send().await.unwrap();
    assert_eq!(preflight.status(), 200, "browsers of other origins still get in");
    let response = api.fetch("/q/q/api/v1/queue/sizes").await;
    assert_eq!(response.headers()["content-type"], "application/json");
}

#[tokio::test]
async fn ids_with_slashes_and_control_characters_work_and_break_no_job_route() {
    let api = TestApi::new().await;
    ok(post(&api, "put", r#"{"a/b":{"image":"alpine"},"c\u0007":1,"e/":2}"#)).await;
    assert_eq!(ok(get(&api, "status/a%2Fb")).await, "0");
    assert_eq!(ok(get(&api, "status/a/b")).await, "0");
    assert_eq!(ok(get(&api, "status/e%2F")).await, "0");
    assert_eq!(ok(get(&api, "status/c%07")).await, "0");
    let (status, listed) = api.get("/q/q").await;
    assert_eq!((status, listed["data"].as_object().unwrap().len()), (200, 0), "none can be a container job");
    assert_eq!(api.claim("q", "w", 5, "0s").await.len(), 0, "a container worker is offered none of them");
    ok(get(&api, "get/5")).await;
    let beat = serde_json::json!({"workerId": "task-queue", "jobs": []});
    api.execute("update asman.running set claimed_at = now() - interval '1 hour'").await;
    assert_eq!(api.post("/q/q/heartbeat", beat).await.0, 200);
    assert_eq!(ok(get(&api, "size/PROCESSING")).await, "3", "no heartbeat takes them away");
    assert_eq!(api.get("/q/q/status").await.0, 200);
    assert_eq!(get(&api, "status/a%00").await.0, 422);
}

#[tokio::test]
async fn without_a_configured_queue_the_short_path_says_which_flag_is_missing() {
    let api = TestApi::new().await;
    let (status, said) = exact(&api, Method::GET, "/api/v1/queue/sizes", None).await;
    assert_eq!(status, 404);
    assert_eq!(
        said,
        r#"{"detail":"no task queue is configured here; start the API with --task-queue-name or ASMAN_TASK_QUEUE"}"#
    );
    let api = TestApi::with(|config| config.sql_queue_name = Some("q".parse().unwrap())).await;
    ok(post(&api, "put", r#"{"a":1}"#)).await;
    assert_eq!(ok(exact(&api, Method::GET, "/api/v1/queue/size/WAITING", None)).await, "1", "both paths lead to one queue");
}

#[tokio::test]
async fn a_database_that_is_gone_is_a_500_that_says_nothing() {
    let api = TestApi::new().await;
    api.execute("alter table asman.job rename to job_elsewhere").await;
    for path in ["sizes", "size/WAITING", "status/a", "get/1"] {
        assert_eq!(get(&api, path).await, (500, "Internal Server Error".to_owned()), "{path}");
    }
}
