//! Modern Dockerfiles: what the worker rewrites for the classic builder, and what `BuildKit` builds.

use protocol::{Reason, Step};
use serde_json::{Value, json};

use crate::builds::{dockerfile, failure, forget, left_of, lines_of, nonce, succeeded};
use crate::contexts::{gzip, tar};
use crate::harness::{IMAGE, TestWorker, data_label, docker, rules_by};
use crate::world::{World, probe};

/// Builds an image and runs a command in it. Returns the output of the command and of the build.
async fn said(worker: &TestWorker, build: Value, command: &str) -> (String, String) {
    let (job, finish) = worker.run(&json!({ "build": build, "command": command })).await;
    assert!(succeeded(&finish), "{:?}\n{}", finish.message, worker.api.text(&job, true));
    let built = lines_of(worker, &job, Step::Build);
    forget(worker, &job).await;
    (lines_of(worker, &job, Step::Running), built)
}

fn files_left() -> String {
    docker(&["images", "-q", "asman/files"])
}

#[tokio::test]
async fn here_documents_and_platforms_are_built_within_every_bound() {
    let worker = TestWorker::start().await;
    let text = format!(
        "# syntax=docker/dockerfile:1\nFROM --platform=$BUILDPLATFORM {IMAGE} AS one\nARG TARGETARCH\nARG TARGETOS\nARG WHO=world\nLABEL \
         asman.test={}\nRUN <<EOF\nset -e\necho \"$TARGETOS $TARGETARCH\" > /platform\ncat /sys/fs/cgroup/memory/memory.limit_in_bytes \
         || cat /sys/fs/cgroup/memory.max\nEOF\nRUN <<\"SH\" cat > /script\n#!/bin/sh\necho $1 from the script\nSH\nCOPY --chmod=755 <<\"RUN\" \
         <<TEXT /files/\n#!/bin/sh\necho run $0\nRUN\nhello $WHO\nTEXT\nRUN <<EOF\n#!/bin/sh -e\n/files/RUN >> /platform\nEOF\nFROM {IMAGE}\nCOPY \
         --link --from=one /platform /script /files/TEXT /\n",
        nonce()
    );
    let definition = json!({
        "build": { "dockerfile": text }, "command": "cat /platform /script /TEXT", "requirements": { "memory": "96m" },
    });
    let (job, finish) = worker.run(&definition).await;
    assert!(succeeded(&finish), "{:?}\n{}", finish.message, worker.api.text(&job, true));
    let expected = "linux amd64\nrun /files/RUN\n#!/bin/sh\necho $1 from the script\nhello world\n";
    assert_eq!(lines_of(&worker, &job, Step::Running), expected);
    let built = lines_of(&worker, &job, Step::Build);
    assert!(built.contains(&(96 * 1024 * 1024).to_string()) && !built.contains("BuildKit"), "{built}");
    forget(&worker, &job).await;
    worker.drain().await;
    assert_eq!(files_left(), "");
}

#[tokio::test]
async fn a_file_of_two_bytes_a_character_is_built_and_one_that_is_cut_off_is_named() {
    let worker = TestWorker::start().await;
    let text = dockerfile(&nonce(), "RUN echo wide > /wide").replace('\n', "\r\n");
    let bytes: Vec<u8> = [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(bytes.len() as u64);
    archive.append_data(&mut header, "Dockerfile", &bytes[..]).unwrap();
    let archive = gzip(&archive.into_inner().unwrap());
    worker.api.with(|heard| heard.blobs.insert("wide".to_owned(), archive.into()));
    let context = format!("{}/f/wide", worker.api.url);
    assert_eq!(said(&worker, json!({ "context": context }), "cat /wide").await.0, "wide\n");
    for (rest, sentence) in [
        ("RUN <<EOF\nx", "line 3 of the Dockerfile begins a here-document without an end; add a line \"EOF\""),
        ("RUN --network=host true", "line 3 of the Dockerfile asks for RUN --network=host"),
        ("RUN --security=insecure true", "line 3 of the Dockerfile asks for RUN --security=insecure"),
    ] {
        let message = failure(&worker, json!({ "dockerfile": dockerfile("x", rest) })).await;
        assert!(message.contains(sentence), "{message}");
    }
    let message = failure(&worker, json!({ "dockerfile": "# syntax=localhost:1/evil\nFROM a" })).await;
    assert!(message.contains("asks for the frontend \"localhost:1/evil\""), "{message}");
    let build = json!({ "dockerfile": format!("FROM {IMAGE} AS one"), "target": "two" });
    let message = failure(&worker, build).await;
    assert!(message.contains("has no stage \"two\" to build (target); it has one"), "{message}");
    worker.drain().await;
}

#[tokio::test]
async fn mounts_and_modes_are_built_by_buildkit_with_what_it_says_in_the_log() {
    let worker = TestWorker::start().await;
    let text = dockerfile(
        &nonce(),
        "ARG TARGETARCH\nRUN --mount=type=cache,target=/kept echo x > /kept/x && echo said by a step\nRUN \
         --mount=type=secret,id=none,target=/s test ! -e /s && test ! -e /kept/x\nRUN --mount=type=bind,target=/c <<EOF\ncat /c/part > \
         /part\necho $TARGETARCH >> /part\nEOF\nCOPY --chmod=751 --link part /moded\nRUN stat -c %a /moded >> /part; sleep 1; cat \
         /sys/fs/cgroup/memory$(grep :memory: /proc/self/cgroup | cut -d: -f3)/memory.limit_in_bytes 2>/dev/null || true",
    );
    let archive = gzip(&tar(&[("Dockerfile", &text), ("part", "of the context\n")]));
    worker.api.with(|heard| heard.blobs.insert("mounts".to_owned(), archive.into()));
    let context = format!("{}/f/mounts", worker.api.url);
    let (found, built) = said(&worker, json!({ "context": context }), "cat /part").await;
    assert_eq!(found, "of the context\namd64\n751\n");
    for words in ["line 4 of the Dockerfile has RUN --mount, which needs BuildKit", "Step [", "said by a step"] {
        assert!(built.contains(words), "{words}: {built}");
    }
    let nonce = nonce();
    let text = dockerfile(&nonce, "RUN --mount=type=cache,target=/c echo fine\nRUN echo bad; exit 7");
    let message = failure(&worker, json!({ "dockerfile": text })).await;
    assert!(message.contains("RUN echo bad; exit 7") && message.contains("exit code: 7"), "{message}");
    assert_eq!(left_of(&nonce), (String::new(), String::new()));
    worker.drain().await;
}

#[tokio::test]
async fn a_buildkit_build_ends_with_its_job_and_with_what_it_writes() {
    let worker = TestWorker::start_with(|config| config.isolation.disk = "24m".to_owned()).await;
    let text = dockerfile(&nonce(), "RUN --mount=type=cache,target=/c echo begun; sleep 300");
    let job = worker.api.submit(&json!({ "build": { "dockerfile": text }, "command": "true" }));
    worker.api.until_logged(&job, "begun").await;
    worker.api.cancel(&job);
    let text =
        dockerfile(&nonce(), "RUN --mount=type=cache,target=/c dd if=/dev/zero of=/f bs=1M count=40 2>/dev/null; sleep 300");
    let message = failure(&worker, json!({ "dockerfile": text })).await;
    assert!(message.contains("more than its limit of") && message.contains("24.0 MiB, and was stopped"), "{message}");
    worker.drain().await;
    let running = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!running.lines().any(|line| line.contains("buildkit/executor")), "{running}");
}

#[tokio::test]
async fn a_step_of_buildkit_reaches_what_a_job_may_reach_and_other_containers_lose_nothing() {
    let world = World::new();
    let worker = TestWorker::start().await;
    let beside = docker(&["run", "-d", "--rm", IMAGE, "sleep", "60"]);
    let guarded: Vec<_> = world.guarded().into_iter().filter(|address| !address.starts_with("gateway")).collect();
    let public = format!("{}:80", crate::world::PUBLIC);
    let script = format!("{}\n{}", probe(&guarded), probe(std::slice::from_ref(&public)));
    let text = dockerfile(&nonce(), &format!("RUN --mount=type=cache,target=/c <<\"EOF\"\n{script}\nsleep 2\nEOF"));
    let job = worker.api.submit(&json!({ "build": { "dockerfile": text }, "command": "true" }));
    worker.api.until_logged(&job, &format!("{public} open")).await;
    // The rules do not apply to another container on the same bridge, so it reaches the address.
    let reached = docker(&["exec", &beside, "sh", "-c", &probe(&[format!("{}:80", crate::world::GUARDED[1])])]);
    assert!(reached.contains("open"), "{reached}");
    let finish = worker.api.finish_of(&job).await;
    assert_eq!(finish.reason, Reason::Success, "{:?}", finish.message);
    let built = lines_of(&worker, &job, Step::Build);
    for address in &guarded {
        assert!(built.contains(&format!("{address} shut")), "{address}: {built}");
    }
    forget(&worker, &job).await;
    docker(&["kill", &beside]);
    // Looks only for this worker's rules, because another test may be building at the same time.
    let label = data_label(&worker.data());
    worker.drain().await;
    assert!(!rules_by("iptables", &label).contains("ASMANB-"), "the rules went with the build");
}

#[tokio::test]
async fn strangers_get_what_the_classic_builder_builds_and_one_sentence_for_the_rest() {
    let worker = TestWorker::start_with(|config| {
        config.isolation.untrusted = true;
        config.isolation.runtime = Some("runc".to_owned());
    })
    .await;
    let text = dockerfile(&nonce(), "RUN <<EOF\necho made > /made\nEOF\nCOPY <<EOF /copied\nfor strangers\nEOF");
    assert_eq!(said(&worker, json!({ "dockerfile": text }), "cat /made /copied").await.0, "made\nfor strangers\n");
    for (rest, what) in [("RUN --mount=type=cache,target=/c true", "RUN --mount"), ("COPY --chmod=755 a b", "COPY --chmod")] {
        let message = failure(&worker, json!({ "dockerfile": dockerfile("x", rest) })).await;
        let sentence = format!("line 3 of the Dockerfile has {what}, which needs BuildKit; this worker serves strangers");
        assert!(message.contains(&sentence), "{message}");
    }
    worker.drain().await;
}
