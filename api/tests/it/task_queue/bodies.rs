//! Valid bodies, and the errors for invalid ones.

use reqwest::Method;

use super::{exact, get, ok, post};
use crate::test_api::TestApi;

#[tokio::test]
async fn bodies_come_back_as_they_went_in() {
    let api = TestApi::new().await;
    let sent = r#"{"n":123456789012345678901234567890,"f":[1.0,-0.0,1.10],"z":"a\u0000b","k":{"b":1,"a":2},"null":null,"s":"é"}"#;
    ok(post(&api, "put", sent)).await;
    for (id, body) in [
        ("n", "123456789012345678901234567890"),
        ("f", "[1.0,-0.0,1.10]"),
        ("z", r#""a\u0000b""#),
        ("k", r#"{"b":1,"a":2}"#),
        ("null", "null"),
        ("s", "\"é\""),
    ] {
        assert_eq!(
            ok(get(&api, &format!("lookup_item/{id}"))).await,
            format!(r#"{{"item_id":"{id}","status":0,"item_body":{body}}}"#)
        );
    }
    ok(post(&api, "put", r#"{"d":{"x":1,"x":2},"e":1,"e":2,"nan":[NaN,Infinity,1e400]}"#)).await;
    assert_eq!(ok(get(&api, "lookup_item/d")).await, r#"{"item_id":"d","status":0,"item_body":{"x":2}}"#);
    assert_eq!(ok(get(&api, "lookup_item/e")).await, r#"{"item_id":"e","status":0,"item_body":2}"#);
    assert_eq!(ok(get(&api, "lookup_item/nan")).await, r#"{"item_id":"nan","status":0,"item_body":[null,null,null]}"#);
    // Two spellings of the same definition are stored separately.
    ok(post(&api, "put", r#"{"i1":{"image":"a","x":1.0},"i2":{"image":"a","x":1}}"#)).await;
    assert_eq!(ok(get(&api, "lookup_item/i1")).await, r#"{"item_id":"i1","status":0,"item_body":{"image":"a","x":1.0}}"#);
    assert_eq!(ok(get(&api, "lookup_item/i2")).await, r#"{"item_id":"i2","status":0,"item_body":{"image":"a","x":1}}"#);
}

#[tokio::test]
async fn the_type_of_a_body_decides_how_it_is_read() {
    let api = TestApi::new().await;
    let path = "/q/q/api/v1/queue/put";
    let send = |kind: &'static str, body: &'static [u8]| exact(&api, Method::POST, path, Some((kind, body)));
    for kind in ["", "application/json", "application/json; charset=utf-8", "application/x+json"] {
        assert_eq!(send(kind, b"{}").await, (200, "null".to_owned()), "{kind:?}");
    }
    assert_eq!(send("application/json", b"\xef\xbb\xbf{\"bom\":1}").await, (200, "null".to_owned()));
    let said = r#"{"detail":[{"type":"dict_type","loc":["body"],"msg":"Input should be a valid dictionary","input":"{}"}]}"#;
    assert_eq!(send("text/plain", b"{}").await, (422, said.to_owned()));
    let unreadable = r#"{"detail":"There was an error parsing the body"}"#;
    assert_eq!(send("application/json", b"{\"a\":\"\xff\"}").await, (400, unreadable.to_owned()));
}

#[tokio::test]
async fn what_cannot_be_put_is_named_with_its_place() {
    let api = TestApi::new().await;
    let missing = r#"{"type":"missing","loc":["body"],"msg":"Field required","input":null}"#.to_owned();
    let dict = |input: &str| {
        format!(r#"{{"type":"dict_type","loc":["body"],"msg":"Input should be a valid dictionary","input":{input}}}"#)
    };
    let json = |at: u32, error: &str| {
        format!(
            r#"{{"type":"json_invalid","loc":["body",{at}],"msg":"JSON decode error","input":{{}},"ctx":{{"error":"{error}"}}}}"#
        )
    };
    for (body, element) in [
        ("", missing.clone()),
        ("null", missing.clone()),
        ("\"s\"", dict("\"s\"")),
        ("[1, 2]", dict("[1,2]")),
        ("5", dict("5")),
        ("{a}", json(1, "Expecting property name enclosed in double quotes")),
        (r#"{"é":}"#, json(5, "Expecting value")),
        ("{} {}", json(3, "Extra data")),
        (r#"{"a": "b"#, json(6, "Unterminated string starting at")),
        (r#"{"a": "\ud800"}"#, json(7, "Lone surrogate")),
    ] {
        assert_eq!(post(&api, "put", body).await, (422, format!("{{\"detail\":[{element}]}}")), "{body}");
    }
    let nul = r#"{"detail":[{"type":"value_error","loc":["body","a\u0000"],"msg":"an item's id must not contain a NUL","input":"a\u0000"}]}"#;
    assert_eq!(post(&api, "put", r#"{"good":1,"a\u0000":2}"#).await, (422, nul.to_owned()));
    assert_eq!(post(&api, "requeue", r#"["a\u0000"]"#).await, (422, nul.to_owned()));
    assert_eq!(post(&api, "put", &format!("{{\"{}\":1}}", "x".repeat(1025))).await.0, 422);
    assert_eq!(ok(get(&api, "size/WAITING")).await, "0", "nothing of a refused put is stored");
}

#[tokio::test]
async fn what_cannot_be_requeued_is_named_with_its_place() {
    let api = TestApi::new().await;
    let string = |place: &str, input: &str| {
        format!(r#"{{"type":"string_type","loc":{place},"msg":"Input should be a valid string","input":{input}}}"#)
    };
    let list = |input: &str| {
        format!(r#"{{"type":"list_type","loc":["body","list[str]"],"msg":"Input should be a valid list","input":{input}}}"#)
    };
    let whole = r#"["body","str"]"#;
    for (body, elements) in [
        ("", vec![r#"{"type":"missing","loc":["body"],"msg":"Field required","input":null}"#.to_owned()]),
        ("5", vec![string(whole, "5"), list("5")]),
        (r#"{"a": 1}"#, vec![string(whole, r#"{"a":1}"#), list(r#"{"a":1}"#)]),
        (
            r#"["a", 1, null]"#,
            vec![
                string(whole, r#"["a",1,null]"#),
                string(r#"["body","list[str]",1]"#, "1"),
                string(r#"["body","list[str]",2]"#, "null"),
            ],
        ),
    ] {
        assert_eq!(post(&api, "requeue", body).await, (422, format!("{{\"detail\":[{}]}}", elements.join(","))), "{body}");
    }
}
