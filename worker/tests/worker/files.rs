//! Inputs, outputs and environment.

use base64::Engine as _;
use protocol::{DataRefType, MissingCode, Reason, sha256_hex};
use serde_json::{Value, json};

use crate::harness::{TestWorker, script};

#[tokio::test]
async fn inputs_of_every_type_are_there_and_read_only() {
    let worker = TestWorker::start().await;
    let key = sha256_hex(b"by key");
    worker.api.with(|heard| {
        heard.blobs.insert(key.clone(), "by key".into());
        heard.blobs.insert("plain".to_owned(), "by url".into());
    });
    let mut definition = script(
        "cd /inputs; cat a/text bytes data json url key rel; cat /etc/app/conf.ini; ls; touch /inputs/x; touch /etc/app/conf.ini",
    );
    definition["inputs"] = json!({
        "a/text": { "value": "text\n" },
        "bytes": { "type": "base64", "value": "Ynl0ZXMK" },
        "data": { "type": "url", "value": "data:text/plain;base64,ZGF0YQo=" },
        "json": { "type": "json", "value": { "b": 1, "a": [true] } },
        "url": { "type": "url", "value": format!("{}/f/plain", worker.api.url), "hash": "not it" },
        "key": { "type": "key", "value": key },
    });
    definition["configFiles"] = json!({
        "/etc/app/conf.ini": { "type": "utf8", "value": "conf\n" },
        "rel": { "value": "rel\n" },
        "/inputs/deep/er": { "value": "" },
    });
    let (job, finish) = worker.run(&definition).await;
    assert_eq!((finish.reason, finish.result.status_code), (Reason::Success, Some(1)));
    let stdout = worker.api.text(&job, false);
    assert_eq!(
        stdout,
        "text\nbytes\ndata\n{\"b\":1,\"a\":[true]}by urlby keyrel\nconf\na\nbytes\ndata\ndeep\njson\nkey\nrel\nurl\n"
    );
    let stderr = worker.api.text(&job, true);
    assert_eq!(stderr.matches("Read-only file system").count(), 2, "{stderr}");
    assert!(stderr.contains("differs from the hash"), "{stderr}");
    worker.drain().await;
}

#[tokio::test]
async fn lost_and_forged_inputs_are_errors() {
    let worker = TestWorker::start().await;
    let key = sha256_hex(b"what was asked for");
    worker.api.with(|heard| heard.blobs.insert(key.clone(), "something else".into()));
    for (reference, sentence) in [
        (json!({ "type": "key", "value": key }), "not their key"),
        (json!({ "type": "key", "value": "nothing" }), "no such file"),
        (json!({ "type": "url", "value": format!("{}/f/nothing", worker.api.url) }), "no such file"),
        (json!({ "type": "url", "value": "file:///etc/passwd" }), "not an http or https URL"),
        (json!({ "type": "base64", "value": "%%%" }), "not base64"),
    ] {
        let mut definition = script("true");
        definition["inputs"] = json!({ "a": reference });
        let (_, finish) = worker.run(&definition).await;
        let message = finish.message.unwrap();
        assert!(finish.reason == Reason::Error && message.contains(sentence) && message.contains("\"a\""), "{message}");
    }
    let mut definition = script("true");
    definition["inputs"] = json!({ "a": { "value": "" }, "a/b": { "value": "" } });
    let (_, finish) = worker.run(&definition).await;
    assert!(finish.reason == Reason::Error && finish.message.unwrap().contains("both a file and a folder"));
    worker.drain().await;
}

fn inline(outputs: &std::collections::BTreeMap<String, protocol::DataRef>, name: &str) -> Vec<u8> {
    let reference = &outputs[name];
    assert_eq!(reference.kind, Some(DataRefType::Base64));
    base64::engine::general_purpose::STANDARD.decode(reference.value.as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn outputs_of_every_shape_come_back_and_what_is_left_out_is_counted() {
    let worker = TestWorker::start().await;
    let text = "cd /outputs; mkdir -p a/b/c none; echo deep > a/b/c/d; : > empty; echo x > 'odd nämé?#%'; ln -s /etc/passwd link; \
                ln -s /etc folder; mkfifo pipe; head -c 200 /dev/zero > full; head -c 201 /dev/zero > over; chmod 700 a; touch 'new\nline'; \
                ln -s /outputs/a/b latest; ln -s latest/c/d best";
    let (job, finish) = worker.run(&script(text)).await;
    let (outputs, missing) = (finish.result.outputs, finish.result.missing.unwrap());
    let names: Vec<_> = outputs.keys().map(String::as_str).collect();
    assert_eq!(names, ["a/b/c/d", "best", "empty", "full", "latest/c/d", "odd nämé?#%", "over"]);
    assert_eq!((inline(&outputs, "a/b/c/d"), inline(&outputs, "best")), (b"deep\n".to_vec(), b"deep\n".to_vec()));
    assert_eq!(inline(&outputs, "empty"), b"");
    assert_eq!(inline(&outputs, "full").len(), 200);
    let key = sha256_hex(&[0; 201]);
    assert_eq!(serde_json::to_value(&outputs["over"]).unwrap(), json!({ "value": key, "type": "key", "hash": key }));
    worker.api.with(|heard| assert_eq!(heard.blobs[&key].len(), 201));
    let why: Vec<_> = missing.why.iter().map(|why| (why.code, why.names.join(" "))).collect();
    let expected = [
        (MissingCode::NotAFile, "pipe".to_owned()),
        (MissingCode::Link, "folder link".to_owned()),
        (MissingCode::Name, "new\nline".to_owned()),
    ];
    assert_eq!((missing.outputs, why), (4, expected.to_vec()));
    assert!(finish.message.unwrap().starts_with("4 outputs are missing"));
    assert!(worker.api.text(&job, true).contains("outputs left out of the result: 1 (\"pipe\")"));
    worker.drain().await;
}

#[tokio::test]
async fn a_large_output_is_sent_where_the_api_says_and_only_once() {
    let worker = TestWorker::start_with(|config| config.token = Some("worker-token".to_owned())).await;
    worker.api.with(|heard| heard.redirects_uploads = Some(worker.api.elsewhere.clone()));
    let definition = script("yes 0123456789abcde | head -c 20000000 > /outputs/big");
    let (_, finish) = worker.run(&definition).await;
    assert_eq!(finish.reason, Reason::Success, "{:?}", finish.message);
    let bytes: Vec<u8> = b"0123456789abcde\n".iter().copied().cycle().take(20_000_000).collect();
    let key = sha256_hex(&bytes);
    assert_eq!(finish.result.outputs["big"].value, Value::from(key.clone()));
    worker.api.with(|heard| {
        assert_eq!(heard.blobs[&key].len(), bytes.len());
        assert_eq!(heard.paths.iter().filter(|path| path.ends_with(&key)).count(), 1, "one redirect");
        assert_eq!(heard.elsewhere, [(format!("PUT /{key}"), false)], "one upload, and the token is for the API alone");
        assert_eq!(heard.authorizations.iter().collect::<Vec<_>>(), ["Bearer worker-token"]);
    });
    worker.run(&definition).await;
    worker.api.with(|heard| assert_eq!(heard.elsewhere.len(), 1, "what is stored is not sent"));
    worker.drain().await;
}

#[tokio::test]
async fn a_large_output_goes_through_the_api_when_the_storage_is_out_of_reach_or_sends_it_on() {
    let worker = TestWorker::start_with(|config| config.token = Some("worker-token".to_owned())).await;
    for (n, place) in [(1, "http://127.0.0.1:1".to_owned()), (2, format!("{}/on", worker.api.elsewhere))] {
        worker.api.with(|heard| heard.redirects_uploads = Some(place));
        let text = format!("yes 0123456789abcd{n} | head -c 2000000 > /outputs/big");
        let (_, finish) = worker.run(&script(&text)).await;
        assert_eq!(finish.reason, Reason::Success, "{:?}", finish.message);
        let bytes: Vec<u8> = format!("0123456789abcd{n}\n").bytes().cycle().take(2_000_000).collect();
        worker.api.with(|heard| assert_eq!(heard.blobs[&sha256_hex(&bytes)].len(), bytes.len()));
    }
    worker.api.with(|heard| {
        assert_eq!(heard.elsewhere.len(), 2, "tried two times at the place that answers");
        assert!(heard.elsewhere.iter().all(|(_, has_token)| !has_token), "the token is for the API alone");
    });
    worker.drain().await;
}

#[tokio::test]
async fn an_input_is_fetched_where_the_api_says_or_through_it_when_that_is_out_of_reach() {
    let worker = TestWorker::start_with(|config| config.token = Some("worker-token".to_owned())).await;
    let key = sha256_hex(b"from elsewhere");
    let definition = |n: u32| {
        let mut definition = script(&format!("cat /inputs/a; echo {n}"));
        definition["inputs"] = json!({ "a": { "type": "key", "value": key } });
        definition
    };
    worker.api.with(|heard| heard.blobs.insert(key.clone(), "from elsewhere".into()));
    for (n, place) in [(1, worker.api.elsewhere.clone()), (2, "http://127.0.0.1:1".to_owned())] {
        worker.api.with(|heard| heard.redirects_downloads = Some(place));
        let (job, finish) = worker.run(&definition(n)).await;
        assert_eq!(finish.reason, Reason::Success, "{:?}", finish.message);
        assert!(worker.api.text(&job, false).starts_with("from elsewhere"));
    }
    worker.api.with(|heard| {
        assert_eq!(heard.elsewhere, [(format!("GET /{key}"), false)], "the token is for the API alone");
        assert_eq!(heard.authorizations.iter().collect::<Vec<_>>(), ["Bearer worker-token"]);
    });
    worker.drain().await;
}

#[tokio::test]
async fn the_environment_says_where_the_job_is() {
    let worker = TestWorker::start().await;
    let mut definition = script("env; pwd");
    definition["env"] = json!({ "TEXT": "a b=c", "NUMBER": 1.5, "FLAG": true, "JOB_ID": "forged" });
    definition["workdir"] = json!("/outputs");
    let (job, _) = worker.run(&definition).await;
    let (text, api) = (worker.api.text(&job, false), &worker.api.url);
    let here = format!("{api}/j/{job}");
    for line in [
        "TEXT=a b=c".to_owned(),
        "NUMBER=1.5".to_owned(),
        "FLAG=true".to_owned(),
        format!("JOB_ID={job}"),
        "JOB_INPUTS=/inputs".to_owned(),
        "JOB_OUTPUTS=/outputs".to_owned(),
        "JOB_CACHE=/job-cache".to_owned(),
        format!("JOB_URL_PREFIX={here}"),
        format!("JOB_INPUTS_URL_PREFIX={here}/inputs/"),
        format!("JOB_OUTPUTS_URL_PREFIX={here}/outputs/"),
        "/outputs".to_owned(),
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in {text}");
    }
    worker.drain().await;
}

#[tokio::test]
async fn names_that_cannot_be_are_errors_that_say_so() {
    let worker = TestWorker::start().await;
    let long = "x".repeat(256);
    for (member, name, sentence) in [
        ("inputs", "../x", "is not usable"),
        ("inputs", "a/../../x", "is not usable"),
        ("inputs", "/etc/x", "is absolute"),
        ("inputs", "a\nb", "is not usable"),
        ("inputs", long.as_str(), "is too long"),
        ("configFiles", "/", "is empty"),
        ("configFiles", "/inputs", "would replace the folder of all inputs"),
        ("configFiles", "/outputs/x", "are the job's outputs"),
        ("configFiles", "/job-cache/x", "share it"),
        ("configFiles", "/proc/self/environ", "the kernel's own"),
        ("configFiles", "/dev/null", "the kernel's own"),
        ("configFiles", "/etc/../proc/x", "is not usable"),
    ] {
        let mut definition = script("true");
        definition[member] = json!({ name: { "value": "" } });
        let (_, finish) = worker.run(&definition).await;
        let message = finish.message.unwrap();
        assert!(finish.reason == Reason::Error && message.contains(sentence), "{name}: {message}");
    }
    worker.drain().await;
}

#[tokio::test]
async fn odd_names_and_binary_values_arrive_as_they_are() {
    let worker = TestWorker::start().await;
    let bytes: Vec<u8> = (0..=255).collect();
    let mut definition =
        script("cd /inputs; for name in *; do echo \"$name\"; done; sha256sum < bin; cat json null text; cat /opt/deep/er/c");
    definition["inputs"] = json!({
        "A": { "value": "" }, "a": { "value": "" }, "\u{e4}": { "value": "" }, "a\u{308}": { "value": "" },
        "-rf": { "value": "" }, "<img src=x onerror=alert(1)>": { "value": "" }, "it's \"x\"": { "value": "" },
        "bin": { "type": "base64", "value": base64::engine::general_purpose::STANDARD_NO_PAD.encode(&bytes), "hash": "forged" },
        "json": { "type": "json", "value": "text" }, "null": { "type": "json", "value": null },
        "text": { "type": "utf8", "value": 1.5 },
    });
    definition["configFiles"] = json!({ "/opt/deep/er/c": { "value": "!" } });
    let (job, finish) = worker.run(&definition).await;
    assert_eq!(finish.result.status_code, Some(0), "{:?}", finish.message);
    let text = worker.api.text(&job, false);
    let lines: Vec<_> = text.lines().collect();
    for name in ["A", "a", "\u{e4}", "a\u{308}", "-rf", "<img src=x onerror=alert(1)>", "it's \"x\""] {
        assert!(lines.contains(&name), "{name} in {text}");
    }
    assert!(text.contains(&sha256_hex(&bytes)) && text.ends_with("\"text\"null1.5!\n"), "{text}");
    worker.drain().await;
}

#[tokio::test]
async fn outputs_with_odd_names_holes_and_twins_come_back_also_from_a_job_that_failed() {
    let worker = TestWorker::start().await;
    let text = r#"cd /outputs; echo 1 > ./-rf; echo 2 > "it's \"x\""; echo 3 > "<img src=x onerror=alert(1)>"; mkdir -p 日本/é; echo 4 > 日本/é/ü;
                 echo twin > one; ln one two; truncate -s 5M holes; ln -s . self; exit 9"#;
    let (job, finish) = worker.run(&script(text)).await;
    assert_eq!((finish.reason, finish.result.status_code), (Reason::Success, Some(9)));
    let outputs = finish.result.outputs;
    let names: Vec<_> = outputs.keys().map(String::as_str).collect();
    let expected = ["-rf", "<img src=x onerror=alert(1)>", "holes", "it's \"x\"", "one", "two", "日本/é/ü"];
    assert_eq!(names, expected, "{}", worker.api.text(&job, true));
    assert_eq!(inline(&outputs, "one"), inline(&outputs, "two"));
    assert_eq!(outputs["holes"].value, Value::from(sha256_hex(&vec![0; 5 << 20])));
    worker.drain().await;
}

#[tokio::test]
async fn outputs_beyond_what_a_result_holds_are_counted_and_named() {
    let worker = TestWorker::start().await;
    let job = worker.api.submit(&script("mkdir /outputs/d; cd /outputs/d; seq 10020 | xargs touch"));
    let finish = worker.api.finish_of(&job).await;
    assert_eq!((finish.reason, finish.result.outputs.len()), (Reason::Success, 10_000));
    let missing = finish.result.missing.unwrap();
    let (why, first) = (&missing.why[0], &missing.why[0].names[0]);
    assert_eq!((missing.outputs, why.code, why.outputs, first.as_str()), (20, MissingCode::TooMany, 20, "d/9981"));
    assert!(finish.message.unwrap().contains("20 outputs are missing"));
    assert!(worker.api.text(&job, true).contains("outputs left out of the result: 20 (\"d/9981\""));
    worker.drain().await;
}

#[tokio::test]
async fn an_output_that_the_api_refuses_is_an_error_that_names_it() {
    let worker = TestWorker::start().await;
    worker.api.with(|heard| heard.refuses_uploads = true);
    let (job, finish) = worker.run(&script("head -c 300 /dev/zero > /outputs/large; echo ran")).await;
    let message = finish.message.unwrap();
    assert!(finish.reason == Reason::Error && message.contains("output \"large\" cannot be stored"), "{message}");
    assert!(message.contains("the store is full"), "{message}");
    assert_eq!(worker.api.text(&job, false), "ran\n");
    worker.drain().await;
}
