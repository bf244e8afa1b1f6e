//! The rights of a job, and which parts of its definition and of its image reach the engine.

use protocol::Reason;
use serde_json::json;

use crate::harness::{IMAGE, TestWorker, docker, ensure_image, script};
use crate::hostile::image_with;

const LOOK: &str = "id -u; grep -E \"CapEff|NoNewPrivs|Seccomp:\" /proc/self/status; ulimit -n; ulimit -c";

#[tokio::test]
async fn a_definition_cannot_ask_for_more_rights() {
    let worker = TestWorker::start().await;
    let mut definition = script(&format!("{LOOK}; ls -d /host /dev/kmsg /var/run/docker.sock; mount | grep -c host"));
    for (name, value) in [
        ("privileged", json!(true)),
        ("volumes", json!(["/:/host"])),
        ("mounts", json!([{ "type": "bind", "source": "/", "target": "/host" }])),
        ("hostConfig", json!({ "Binds": ["/:/host"], "Privileged": true, "NetworkMode": "host", "PidMode": "host" })),
        ("HostConfig", json!({ "Binds": ["/:/host"], "CapAdd": ["SYS_ADMIN"] })),
        ("capAdd", json!(["SYS_ADMIN"])),
        ("securityOpt", json!(["seccomp=unconfined"])),
        ("runtime", json!("other")),
        ("network", json!("host")),
        ("user", json!("0")),
    ] {
        definition[name] = value;
    }
    let (job, finish) = worker.run(&definition).await;
    assert_eq!(finish.reason, Reason::Success);
    let text = worker.api.text(&job, false);
    let files = std::process::Command::new("sh").args(["-c", "ulimit -Hn"]).output().unwrap().stdout;
    let files: u32 = String::from_utf8(files).unwrap().trim().parse().unwrap_or(u32::MAX);
    let limits = format!("\n{}\n0\n", files.min(65_536));
    for expected in ["CapEff:\t00000000a00405fb", "NoNewPrivs:\t1", "Seccomp:\t2", &limits] {
        assert!(text.contains(expected), "{expected:?} in {text}");
    }
    assert_eq!(worker.api.text(&job, true).matches("No such file").count(), 3, "none of the three is there");
    worker.drain().await;
}

#[tokio::test]
async fn the_owner_adds_rights_and_takes_the_root_file_system() {
    let worker = TestWorker::start_with(|config| {
        config.isolation.cap_add = vec!["SYS_PTRACE".to_owned()];
        config.isolation.read_only_rootfs = true;
        config.isolation.user = Some("1234:77".to_owned());
    })
    .await;
    let text =
        "id -u; id -g; grep CapBnd /proc/self/status; touch /x; echo 'echo ran' > /tmp/x; sh /tmp/x; echo kept > /outputs/x";
    let (job, finish) = worker.run(&script(text)).await;
    assert!(finish.result.outputs.contains_key("x"));
    let text = worker.api.text(&job, false);
    assert!(text.starts_with("1234\n77\n") && text.contains("a00c05fb") && text.ends_with("ran\n"), "{text}");
    assert!(worker.api.text(&job, true).contains("Read-only file system"));
    worker.drain().await;
}

#[tokio::test]
async fn a_stranger_is_root_neither_by_default_nor_by_a_name() {
    ensure_image().await;
    let worker = TestWorker::start_with(|config| {
        config.isolation.untrusted = true;
        config.isolation.runtime = Some("runc".to_owned());
    })
    .await;
    // An image's list of users may give any name the id of root.
    let named = named_root();
    let numbered = image_with("numbered", "USER 1000:0");
    let plain = image_with("plain", "USER 1000");
    for (image, user) in [(IMAGE, "65534"), (&named, "65534"), (&numbered, "65534"), (&plain, "1000")] {
        let mut definition = script(&format!("{LOOK}; echo x > /outputs/x"));
        definition["image"] = json!(image);
        let (job, finish) = worker.run(&definition).await;
        let text = worker.api.text(&job, false);
        assert!(text.starts_with(&format!("{user}\n")) && text.contains("CapEff:\t0000000000000000"), "{image}: {text}");
        assert!(finish.result.outputs.contains_key("x"));
    }
    worker.drain().await;
    docker(&["rmi", &named, &numbered, &plain]);
}

fn named_root() -> String {
    let image = format!("asman-worker-test:named-{}", std::process::id());
    let text = "mkdir -p /etc; echo evil:x:0:0::/:/bin/sh > /etc/passwd";
    let container = docker(&["create", IMAGE, "sh", "-c", text]);
    docker(&["start", "-a", &container]);
    docker(&["commit", "--change", "USER evil", &container, &image]);
    docker(&["rm", &container]);
    image
}

#[tokio::test]
async fn strangers_share_no_cache_and_have_few_rights() {
    let worker = TestWorker::start_with(|config| config.isolation.untrusted = true).await;
    let (job, _) =
        worker.run(&script("grep CapEff /proc/self/status; ls /job-cache; echo mine > /job-cache/x; cat /job-cache/x")).await;
    let text = worker.api.text(&job, false);
    // The bits of CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID and SETUID.
    assert_eq!(text, "CapEff:\t00000000000000eb\nmine\n");
    let (job, _) = worker.run(&script("ls -a /job-cache | wc -l")).await;
    assert_eq!(worker.api.text(&job, false), "2\n");
    worker.drain().await;
}

#[tokio::test]
async fn shared_memory_is_a_part_of_the_jobs_memory() {
    let worker = TestWorker::start().await;
    let mut definition = script("true");
    definition["shmSize"] = json!("65m");
    definition["requirements"] = json!({ "memory": "64m" });
    let (_, finish) = worker.run(&definition).await;
    assert_eq!(
        finish.message.unwrap(),
        "shmSize is 65 MiB, which is more than the job's memory of 64 MiB that it is part of; lower shmSize or raise requirements.memory"
    );
    worker.drain().await;
}

#[tokio::test]
async fn a_runtime_that_the_engine_lacks_is_named() {
    let worker = TestWorker::start().await;
    let mut config = worker.config.clone();
    worker.drain().await;
    config.isolation.runtime = Some("no-such".to_owned());
    let error = worker::run(config, worker::Shutdown::new()).await.unwrap_err();
    assert!(
        matches!(&error, worker::Error::Machine(text) if text.contains("does not have the runtime \"no-such\" of --runtime; it has ")),
        "{error}"
    );
}

#[tokio::test]
async fn a_strangers_image_is_not_built_outside_gvisor() {
    let worker = TestWorker::start_with(|config| config.isolation.untrusted = true).await;
    let build = json!({ "dockerfile": format!("FROM {IMAGE}\nRUN true") });
    let (_, finish) = worker.run(&json!({ "build": build, "command": "true" })).await;
    assert!(finish.message.unwrap().contains("outside gVisor"));
    worker.drain().await;
}
