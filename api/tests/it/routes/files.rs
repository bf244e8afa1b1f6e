//! `…/inputs/*name` and `…/outputs/*name`.

use serde_json::{Value, json};

use crate::storage::{Store, Stored};
use crate::test_api::{TestApi, body_of};

/// One ref of every type.
fn refs() -> Value {
    json!({
        "a/b c.png": {"type": "base64", "value": "aGk="},
        "plain.txt": {"value": "h\u{e9}llo"},
        "typed.txt": {"type": "utf8", "value": "typed"},
        "data.json": {"type": "json", "value": {"b": 1, "a": [2]}},
        "far.bin": {"type": "url", "value": "https://example.org/x?y=1#z"},
        "stored.bin": {"type": "key", "value": "some key/ü?#%41"},
        "here.bin": {"type": "url", "value": "data:;base64,aGk="},
        "unpadded.bin": {"type": "base64", "value": "a\nGk"},
        "broken.bin": {"type": "base64", "value": "a"},
    })
}

/// Fetches every ref below `base` and compares it with what is expected.
async fn check(api: &TestApi, base: &str) {
    let png = api.fetch(&format!("{base}/a/b%20c.png")).await;
    assert_eq!(png.headers()["content-type"], "image/png");
    assert_eq!(png.headers()["content-length"], "2");
    assert_eq!(png.headers()["content-disposition"], "attachment; filename=\"b c.png\"");
    assert_eq!(png.text().await.unwrap(), "hi");
    assert_eq!(api.fetch(&format!("{base}/here.bin")).await.text().await.unwrap(), "hi", "a data URL holds the file itself");
    let plain = api.fetch(&format!("{base}/plain.txt")).await;
    assert!(plain.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
    assert_eq!(plain.text().await.unwrap(), "h\u{e9}llo");
    assert_eq!(api.fetch(&format!("{base}/typed.txt")).await.text().await.unwrap(), "typed");
    let data = api.fetch(&format!("{base}/data.json")).await;
    assert_eq!(data.headers()["content-type"], "application/json");
    assert_eq!(data.text().await.unwrap(), r#"{"b":1,"a":[2]}"#);
    let far = api.fetch(&format!("{base}/far.bin")).await;
    assert_eq!((far.status().as_u16(), &far.headers()["location"]), (302, &"https://example.org/x?y=1#z".parse().unwrap()));
    let stored = api.fetch(&format!("{base}/stored.bin")).await;
    let address = format!("{}/f/some%20key%2F%C3%BC%3F%23%2541?name=stored.bin", api.url);
    assert_eq!((stored.status().as_u16(), &stored.headers()["location"]), (302, &address.parse().unwrap()));
    assert_eq!(api.fetch(&format!("{base}/unpadded.bin")).await.text().await.unwrap(), "hi");
    // A broken input is refused at submission, so only the broken output exists.
    let broken = if base.ends_with("outputs") { 422 } else { 404 };
    assert_eq!(api.get(&format!("{base}/broken.bin")).await.0, broken);
    let absent = api.fetch(&format!("{base}/a")).await;
    assert_eq!(absent.status(), 404);
    assert_eq!(absent.json::<Value>().await.unwrap(), json!({"error": "there is no such file", "code": "no-file"}));
}

#[tokio::test]
async fn inputs_of_every_type_come_with_their_bytes_or_the_way_to_them() {
    let api = TestApi::new().await;
    let mut inputs = refs();
    inputs.as_object_mut().unwrap().remove("broken.bin");
    let definition = json!({"image": "a", "inputs": inputs, "configFiles": {"/etc/app.conf": {"value": "conf"}}});
    let id = api.submit_job("q", json!({"definition": definition})).await;
    check(&api, &format!("/q/q/j/{id}/inputs")).await;
    check(&api, &format!("/j/{id}/inputs")).await;
    assert_eq!(api.fetch(&format!("/q/q/j/{id}/inputs/etc/app.conf")).await.text().await.unwrap(), "conf");
}

#[tokio::test]
async fn outputs_of_every_type_come_once_the_job_has_finished() {
    let api = TestApi::new().await;
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    assert_eq!(api.fetch(&format!("/q/q/j/{id}/outputs/plain.txt")).await.status(), 404);
    let finish = json!({"epoch": epoch, "reason": "Success", "result": {"isTimedOut": false, "outputs": refs()}});
    assert_eq!(api.post(&format!("/q/q/j/{id}/finish"), finish).await.0, 200);
    check(&api, &format!("/q/q/j/{id}/outputs")).await;
    check(&api, &format!("/j/{id}/outputs")).await;
    assert_eq!(api.fetch("/q/q/j/nope/outputs/plain.txt").await.status(), 404);
}

#[tokio::test]
async fn a_redirect_to_a_stored_file_arrives() {
    let api = TestApi::new().await;
    let put = api.request(reqwest::Method::PUT, "/f/my%20key%3F").body("content").send().await.unwrap();
    assert_eq!(put.status(), 200);
    let definition = json!({"image": "a", "inputs": {"x": {"type": "key", "value": "my key?"}}});
    let id = api.submit_job("q", json!({"definition": definition})).await;
    let redirect = api.fetch(&format!("/q/q/j/{id}/inputs/x")).await;
    let location = redirect.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(api.http.get(&location).send().await.unwrap().text().await.unwrap(), "content");
}

/// An API with one finished job, whose output `a.csv` is stored.
async fn with_stored_output(set: impl FnOnce(&mut api::Config)) -> (TestApi, String, String) {
    let api = TestApi::with(set).await;
    let key = protocol::sha256_hex(b"1,2\n");
    assert_eq!(api.request(reqwest::Method::PUT, &format!("/f/{key}")).body("1,2\n").send().await.unwrap().status(), 200);
    let inputs = json!({"in.csv": {"type": "key", "value": key}});
    let id = api.submit_job("q", json!({"definition": {"image": "a", "inputs": inputs}})).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    let outputs = json!({"a.csv": {"type": "key", "value": key}, "small": {"value": "x"}});
    let finish = json!({"epoch": epoch, "reason": "Success", "result": {"isTimedOut": false, "outputs": outputs}});
    assert_eq!(api.post(&format!("/q/q/j/{id}/finish"), finish).await.0, 200);
    (api, id, key)
}

#[tokio::test]
async fn clients_get_the_absolute_address_of_a_large_output_wherever_a_result_is_shown() {
    let (api, id, key) = with_stored_output(|_| {}).await;
    let shown = json!({"type": "url", "value": format!("{}/f/{key}", api.url), "hash": key});
    for (path, place) in [
        (format!("/q/q/j/{id}/result.json"), "/data/finished/result/outputs"),
        (format!("/q/q/j/{id}/results.json"), "/data/finished/result/outputs"),
        (format!("/j/{id}/result.json"), "/data/finished/result/outputs"),
        (format!("/q/q/j/{id}"), "/data/results/finished/result/outputs"),
        (format!("/j/{id}"), "/data/results/finished/result/outputs"),
    ] {
        let outputs = api.get(&path).await.1.pointer(place).cloned().unwrap();
        assert_eq!(outputs, json!({"a.csv": shown, "small": {"value": "x"}}), "{path}");
    }
    let url = shown["value"].as_str().unwrap();
    assert_eq!(api.http.get(url).send().await.unwrap().text().await.unwrap(), "1,2\n");
}

#[tokio::test]
async fn addresses_begin_with_the_public_url_and_else_with_what_the_request_calls_us() {
    let (api, id, key) = with_stored_output(|config| config.public_url = Some("https://queue.example/x".to_owned())).await;
    let path = format!("/q/q/j/{id}/outputs/a.csv");
    let asked = api.request(reqwest::Method::GET, &path).header("host", "evil.example").send().await.unwrap();
    assert_eq!(asked.headers()["location"], format!("https://queue.example/x/f/{key}?name=a.csv"));
    let (api, id, key) = with_stored_output(|_| {}).await;
    for (host, expected) in [("queue.example", "http://queue.example"), ("a.example:81", "http://a.example:81")] {
        let path = format!("/q/q/j/{id}/outputs/a.csv");
        let answer = api.request(reqwest::Method::GET, &path).header("host", host).send().await.unwrap();
        assert_eq!(answer.headers()["location"], format!("{expected}/f/{key}?name=a.csv"));
        assert_eq!(answer.headers()["cache-control"], "no-store", "other callers do not get it");
    }
    let result = api.request(reqwest::Method::GET, &format!("/j/{id}/result.json")).header("host", "evil.example");
    assert_eq!(result.send().await.unwrap().headers()["cache-control"], "no-store");
    assert!(!api.get(&format!("/j/{id}/result.json")).await.1.to_string().contains("evil"), "it is in no other answer");
}

#[tokio::test]
async fn an_api_of_one_machine_gives_the_bytes_themselves() {
    let (api, id, key) = with_stored_output(|config| config.local_access.local = true).await;
    for file in ["outputs/a.csv", "inputs/in.csv"] {
        for base in [format!("/q/q/j/{id}"), format!("/j/{id}")] {
            let answer = api.fetch(&format!("{base}/{file}")).await;
            assert_eq!((answer.status().as_u16(), &answer.headers()["content-type"]), (200, &"text/csv".parse().unwrap()));
            assert_eq!(answer.text().await.unwrap(), "1,2\n");
        }
    }
    let part = api.request(reqwest::Method::GET, &format!("/j/{id}/outputs/a.csv")).header("range", "bytes=2-2");
    let part = part.send().await.unwrap();
    assert_eq!((part.status().as_u16(), part.text().await.unwrap().as_str()), (206, "2"));
    // The input names a file of this API by its address, as clients do with outputs.
    let inputs = json!({"x": {"type": "url", "value": format!("{}/f/{key}", api.url)}});
    let id = api.submit_job("q", json!({"definition": {"image": "a", "inputs": inputs}})).await;
    assert_eq!(api.fetch(&format!("/j/{id}/inputs/x")).await.text().await.unwrap(), "1,2\n");
}

/// Fetches as browsers do, and follows all redirects.
async fn followed(url: &str) -> reqwest::Response {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.get(url).send().await.unwrap()
}

async fn a_large_output_has_its_type_and_its_name(store: Store) {
    let Stored { api, storage: _storage, .. } = Stored::new(store).await;
    let content = "x".repeat(1_000);
    let key = protocol::sha256_hex(content.as_bytes());
    let put = api.request(reqwest::Method::PUT, &format!("/f/{key}?proxy=1")).body(content.clone()).send().await.unwrap();
    assert_eq!(put.status(), 200);
    let id = api.submit("q", 1).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    let url = format!("{}/f/{key}", api.url);
    let outputs = json!({"a/plot.png": {"type": "key", "value": key}, "t\u{e4}ble.csv": {"type": "url", "value": url}});
    let body = json!({"epoch": epoch, "reason": "Success", "result": {"isTimedOut": false, "outputs": outputs}});
    assert_eq!(api.post(&format!("/q/q/j/{id}/finish"), body).await.0, 200);
    for (name, kind, disposition) in [
        ("a/plot.png", "image/png", "attachment; filename=\"plot.png\""),
        ("t%C3%A4ble.csv", "text/csv", "attachment; filename=\"t_ble.csv\"; filename*=UTF-8''t%C3%A4ble.csv"),
    ] {
        let file = followed(&format!("{}/q/q/j/{id}/outputs/{name}", api.url)).await;
        assert_eq!((file.status().as_u16(), &file.headers()["content-type"]), (200, &kind.parse().unwrap()), "{store:?} {name}");
        assert_eq!(file.headers()["content-disposition"], disposition, "{store:?}");
        assert_eq!(file.text().await.unwrap(), content);
    }
}

#[tokio::test]
async fn a_large_output_has_its_type_and_its_name_wherever_files_are_kept() {
    for store in [Store::Directory, Store::S3, Store::S3Proxied] {
        a_large_output_has_its_type_and_its_name(store).await;
    }
}

#[tokio::test]
async fn a_slash_before_a_name_makes_no_difference_but_the_exact_name_comes_first() {
    let api = TestApi::new().await;
    let files = json!({"/etc/a": {"value": "absolute"}, "etc/a": {"value": "relative"}, "/etc/b": {"value": "b"}});
    let id = api.submit_job("q", json!({"definition": {"image": "a", "configFiles": files}})).await;
    let (_, epoch) = api.claim_one("q", "w").await;
    let body = json!({"epoch": epoch, "reason": "Success", "result": {"isTimedOut": false, "outputs": {"etc/a": {"value": "relative"}}}});
    assert_eq!(api.post(&format!("/q/q/j/{id}/finish"), body).await.0, 200);
    // An earlier release, which accepted such names, may have written this result.
    let older = "update asman.finished set result = jsonb_set(result::jsonb, '{outputs}', \
        '{\"/etc/a\": {\"value\": \"absolute\"}, \"etc/a\": {\"value\": \"relative\"}, \"/etc/b\": {\"value\": \"b\"}}')::json";
    api.execute(older).await;
    for kind in ["inputs", "outputs"] {
        for (name, expected) in [("etc/a", "relative"), ("/etc/a", "absolute"), ("etc/b", "b"), ("/etc/b", "b")] {
            for base in [format!("/q/q/j/{id}"), format!("/j/{id}")] {
                let path = format!("{base}/{kind}/{name}");
                assert_eq!(api.fetch(&path).await.text().await.unwrap(), expected, "{path}");
            }
        }
    }
}

#[tokio::test]
async fn an_item_that_is_no_definition_has_no_files() {
    let api = TestApi::new().await;
    for (n, body) in [json!([1, 2]), json!("text"), json!({"inputs": 5}), json!({"inputs": {"x": "y"}})].iter().enumerate() {
        let id = format!("item-{n}");
        let (status, answer) = api.post("/q/q/api/v1/queue/put", json!({"items": {&id: body}, "waiting": [id]})).await;
        assert_eq!(status, 200, "{answer}");
        for kind in ["inputs", "outputs"] {
            let file = api.fetch(&format!("/q/q/j/{id}/{kind}/x")).await;
            assert_eq!(body_of(file).await, (404, json!({"error": "there is no such file", "code": "no-file"})), "{kind} {body}");
        }
    }
}
