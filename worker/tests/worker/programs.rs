//! What the author of a job learns when its program cannot be run.

use protocol::{EndFault, Reason};
use serde_json::json;

use crate::faults::assert_error;
use crate::harness::{IMAGE, TestWorker, docker, remove_image, script};

#[tokio::test]
async fn an_image_for_another_platform_is_told_with_both_and_is_not_the_jobs_fault() {
    let folder = tempfile::tempdir().unwrap();
    let image = format!("asman-worker-test/foreign-{}:v1", std::process::id());
    for (architecture, what) in [("arm64", "the image is made"), ("amd64", "the image's program is made")] {
        let file = folder.path().join("image.tar");
        std::fs::write(&file, image_of(&image, architecture, &foreign_rootfs())).unwrap();
        docker(&["load", "-i", file.to_str().unwrap()]);
        let worker = TestWorker::start().await;
        let job = worker.api.submit(&json!({ "image": image, "command": "/program" }));
        let finish = worker.api.finish_of(&job).await;
        assert_error(&finish, "image-platform-mismatch", EndFault::Machine);
        let message = finish.message.unwrap();
        assert!(message.contains(what) && message.contains("linux/arm64") && message.contains("linux/amd64"), "{message}");
        worker.drain().await;
        remove_image(&image).await;
    }
}

/// An image for `docker load` that claims to be for this architecture.
fn image_of(name: &str, architecture: &str, layer: &[u8]) -> Vec<u8> {
    let layer_id = format!("sha256:{}", protocol::sha256_hex(layer));
    let config = json!({ "architecture": architecture, "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [layer_id] } });
    let manifest = json!([{ "Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"] }]);
    let mut tar = tar::Builder::new(Vec::new());
    let (config, manifest) = (config.to_string(), manifest.to_string());
    for (path, bytes) in [("config.json", config.as_bytes()), ("layer.tar", layer), ("manifest.json", manifest.as_bytes())] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

/// A file system with a program whose header names another architecture.
fn foreign_rootfs() -> Vec<u8> {
    let mut program = vec![0; 256];
    program[..20].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 183, 0]);
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(program.len() as u64);
    header.set_mode(0o755);
    tar.append_data(&mut header, "program", program.as_slice()).unwrap();
    tar.into_inner().unwrap()
}

#[tokio::test]
async fn a_script_that_cannot_be_run_is_told_why() {
    let worker = TestWorker::start().await;
    let with =
        |script: &str, command: &str| json!({ "image": IMAGE, "command": command, "inputs": { "run.sh": { "value": script } } });
    let copied = "sh -c 'cp /inputs/run.sh /tmp/run.sh; chmod +x /tmp/run.sh; /tmp/run.sh'";
    for (definition, code, words) in [
        (with("#!/bin/sh\r\necho hello\r\n", copied), 127, "run.sh has Windows line ends"),
        (
            with("#!/usr/bin/no-python\nprint(1)\n", copied),
            127,
            "needs the interpreter /usr/bin/no-python, which the image does not have",
        ),
        (with("#!/bin/env no-python\nprint(1)\n", copied), 127, "needs the interpreter no-python, which the image does not have"),
        (with("#!/bin/sh\necho hello\n", "sh -c 'cd /inputs && ./run.sh'"), 126, "is not executable"),
    ] {
        let (job, finish) = worker.run(&definition).await;
        assert_eq!((finish.reason, finish.result.status_code), (Reason::Success, Some(code)), "{definition}");
        let message = finish.message.unwrap_or_default();
        assert!(message.contains(words), "{definition}: {message}");
        assert!(worker.api.text(&job, true).contains(words));
    }
    for (definition, code, words) in [
        (with("#!/bin/sh\necho hello\n", "/inputs/run.sh"), "command-not-executable", "is not executable"),
        (with("", "no-such-program"), "command-not-found", "the image has no program \"no-such-program\""),
    ] {
        let (_, finish) = worker.run(&definition).await;
        assert_error(&finish, code, EndFault::Job);
        assert!(finish.message.unwrap().contains(words), "{definition}");
    }
    let (_, finish) = worker.run(&script("exit 127")).await;
    assert_eq!(finish.message, None, "there is nothing to tell");
    worker.drain().await;
}
