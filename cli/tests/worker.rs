//! `asman worker` as a process: its end, several queues through the real API, its older settings, and a new version of the program.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here is a failed test")]

mod support;

use std::collections::HashMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;
use support::house::{House, free_port, test_database};
use support::{Running, asman, data_directory, run, text, until};

/// Starts a worker of the house with these arguments and settings, and waits until the API knows it in this queue.
fn worker(house: &House, id: &str, arguments: &[&str], queue: &str) -> Running {
    let mut command = asman();
    command.args(["worker", "run"]).args(arguments).args(["--id", id, "--heartbeat", "500ms", "--stop-grace", "1s"]);
    command.args(["--api", &house.api_url(), "--data-directory"]).arg(house.folder.path().join(id));
    let running = Running::start(&mut command);
    until(|| house.get(&format!("/q/{queue}/status"))?["localWorkers"].get(id).map(|_| ()));
    running
}

fn state(house: &House, queue: &str, id: &str) -> String {
    house.get(&format!("/q/{queue}/j/{id}")).unwrap()["data"]["results"]["state"].as_str().unwrap().to_owned()
}

/// Waits until the job's log contains this text.
fn until_said(house: &House, queue: &str, id: &str, line: &str) {
    until(|| house.get(&format!("/q/{queue}/j/{id}/run-logs.json"))?.to_string().contains(line).then_some(()));
}

#[test]
fn a_terminated_worker_ends_its_jobs_and_takes_no_others() {
    let house = House::over(test_database());
    let _api = house.start_api();
    let mut first = worker(&house, "first", &["q"], "q");
    let id = house.add("q", "echo begun; sleep 3; echo done");
    until_said(&house, "q", &id, "begun");
    first.signal(Signal::TERM);
    first.wait_for("worker drains");
    let later = house.add("q", "echo later");
    assert_eq!(first.wait().code(), Some(0), "{:?}", first.said);
    assert_eq!(House::lines(&house.result("q", &id)), ["begun", "done"]);
    assert_eq!(house.events("q", &later), ["queued"], "nobody has taken it");
    assert_eq!(state(&house, "q", &later), "Queued");
}

#[test]
fn what_does_not_end_within_the_drain_timeout_or_before_a_second_signal_runs_elsewhere_without_penalty() {
    for (drain_timeout, signals) in [("300ms", 1), ("10m", 2)] {
        let house = House::over(test_database());
        let _api = house.start_api();
        let mut first = worker(&house, "first", &["q", "--drain-timeout", drain_timeout], "q");
        let id = house.add("q", "echo begun; sleep 4; echo done");
        until_said(&house, "q", &id, "begun");
        first.signal(Signal::TERM);
        first.wait_for("worker drains");
        if signals == 2 {
            first.signal(Signal::TERM);
        }
        assert_eq!(first.wait().code(), Some(0), "{:?}", first.said);
        assert_eq!(house.events("q", &id), ["queued", "claimed", "released"]);
        let _second = worker(&house, "second", &["q"], "q");
        assert_eq!(house.result("q", &id)["worker"], "second");
        assert_eq!(house.events("q", &id), ["queued", "claimed", "released", "claimed", "finished"]);
    }
}

#[test]
fn three_queues_share_one_worker_by_weight_through_the_real_api() {
    let house = House::over(test_database());
    let _api = house.start_api();
    let mut jobs = Vec::new();
    for n in 0..8 {
        jobs.extend(["a", "b", "c"].map(|queue| (queue, house.add(queue, &format!("echo {queue}{n}")))));
    }
    let _worker = worker(&house, "w", &["a", "b/2", "c", "--jobs", "2"], "a");
    let claimed_at = |queue: &str, id: &str| {
        let history = house.get(&format!("/q/{queue}/j/{id}/history.json")).unwrap();
        let entry = history["data"].as_array().unwrap().iter().find(|entry| entry["event"] == "claimed").cloned();
        entry.map(|entry| entry["time"].as_i64().unwrap())
    };
    let all = until(|| {
        let times: Vec<_> = jobs.iter().filter_map(|(queue, id)| Some((claimed_at(queue, id)?, *queue))).collect();
        (times.len() >= 12).then_some(times)
    });
    let mut order = all;
    order.sort_unstable();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    order.iter().take(12).for_each(|(_, queue)| *counts.entry(queue).or_default() += 1);
    let shares = ["a", "b", "c"].map(|queue| counts.get(queue).copied().unwrap_or_default());
    assert!(shares[1] >= 5 && shares[0] >= 2 && shares[2] >= 2, "of the first twelve: {shares:?}");
    for (queue, id) in &jobs {
        assert_eq!(house.result(queue, id)["finishedReason"], "Success");
        assert_eq!(house.events(queue, id), ["queued", "claimed", "finished"], "nothing was taken that did not fit");
    }
}

/// The health report of the worker on this port.
fn health(port: &str) -> Option<Value> {
    let output = Command::new("curl").args(["-s", &format!("http://127.0.0.1:{port}/healthz")]).output().unwrap();
    serde_json::from_slice(&output.stdout).ok()
}

/// Milliseconds from a job's submission to its claim, by the database's clock.
fn claim_latency(house: &House, queue: &str, script: &str) -> i64 {
    let id = house.add(queue, script);
    assert_eq!(house.result(queue, &id)["finishedReason"], "Success");
    let history = house.get(&format!("/q/{queue}/j/{id}/history.json")).unwrap();
    let entries = history["data"].as_array().unwrap();
    let time = |event: &str| entries.iter().find(|entry| entry["event"] == event).unwrap()["time"].as_i64().unwrap();
    time("claimed") - time("queued")
}

#[test]
fn an_idle_worker_of_three_queues_takes_a_job_as_soon_as_one_of_a_single_queue() {
    let house = House::over(test_database());
    let _api = house.start_api();
    let ports = [free_port().to_string(), free_port().to_string()];
    let _one = worker(&house, "one", &["single", "--port", &ports[0]], "single");
    let _three = worker(&house, "three", &["a", "b", "c", "--port", &ports[1]], "c");
    let mut latencies = [Vec::new(), Vec::new()];
    // The two workers get jobs in turn, so that both are measured while the machine is equally busy.
    for n in 0..9 {
        for (which, queue) in [(0, "single"), (1, ["a", "b", "c"][n % 3])] {
            until(|| health(&ports[which]).filter(|said| said["jobs"] == 0));
            latencies[which].push(claim_latency(&house, queue, &format!("echo {n}")));
        }
    }
    latencies.iter_mut().for_each(|them| them.sort_unstable());
    println!("submit to claim, ms: one queue {:?}, three queues {:?}", latencies[0], latencies[1]);
    let [one, three] = [0, 1].map(|which| latencies[which][latencies[which].len() / 2]);
    assert!(three <= 3 * one + 30, "medians: {one} ms with one queue, {three} ms with three");
}

#[test]
fn the_settings_of_the_worker_before_are_understood_and_ours_win() {
    let house = House::over(test_database());
    let _api = house.start_api();
    let data = house.folder.path().join("old");
    let old = |id: &str| {
        let mut command = asman();
        command.args(["worker", "run", "--id", id, "-d"]).arg(data.join(id));
        command.env("METAPAGE_IO_WORKER_QUEUE_ID", "old queue").env("METAPAGE_IO_WORKER_API_ADDRESS", house.api_url());
        command.env("METAPAGE_IO_WORKER_CPUS", "1").env("METAPAGE_IO_WORKER_JOB_MAX_DURATION", "20 min");
        command
    };
    let _worker = Running::start(&mut old("one"));
    let described = until(|| house.get("/q/old%20queue/status")?["localWorkers"].get("one").cloned());
    assert_eq!((&described["cpus"], &described["maxJobDuration"]), (&1.into(), &"20m".into()), "{described}");
    let mut ours = old("two");
    ours.args(["ours", "-c", "1.5", "--max-job-duration", "1h", "--api-address", &house.api_url(), "--gpus", "0"]);
    ours.env("METAPAGE_IO_WORKER_API_ADDRESS", "http://127.0.0.1:1");
    let _ours = Running::start(&mut ours);
    let described = until(|| house.get("/q/ours/status")?["localWorkers"].get("two").cloned());
    assert_eq!((&described["cpus"], &described["maxJobDuration"]), (&1.5.into(), &"1h".into()), "{described}");
    let listed = asman().args(["worker", "run", "--help"]).env("METAPAGE_IO_WORKER_QUEUE", "a-secret-name").output().unwrap();
    assert!(listed.status.success() && !text(&listed.stdout).contains("a-secret-name"));
}

#[test]
fn a_worker_without_a_queue_or_with_a_senseless_one_says_what_is_missing() {
    for arguments in [&[][..], &["q/0"], &["q", "q"], &["q/2/3"]] {
        let output = run(&[&["worker", "run"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stderr).lines().count(), 1, "{}", text(&output.stderr));
    }
}

#[test]
fn a_worker_of_a_paused_queue_says_what_it_waits_for_and_takes_jobs_when_the_pause_is_over() {
    let house = House::over(test_database());
    let _api = house.start_api();
    let pause = |flag: &str| {
        let set = ["queue", "policy", "set", "q", flag, "--api", &house.api_url()];
        let output = run(&set);
        assert!(output.status.success(), "{}", text(&output.stderr));
    };
    pause("--pause");
    let port = free_port().to_string();
    let _worker = worker(&house, "w", &["q", "--port", &port], "q");
    let said = until(|| health(&port).filter(|said| said["state"] == "waiting"));
    assert_eq!(said["reason"], "the queue's owner has paused it");
    pause("--resume");
    let id = house.add("q", "echo on");
    assert_eq!(house.result("q", &id)["finishedReason"], "Success");
    until(|| health(&port).filter(|said| said["state"] == "ready"));
}

#[test]
fn an_autoscaled_worker_ends_by_itself_with_success() {
    let house = House::over(test_database());
    let _api = house.start_api();
    let id = house.add("q", "echo one");
    let left = house.add("q", "echo two");
    let mut one = worker(&house, "one", &["q", "--max-jobs", "1", "--exit-when-idle", "60s"], "q");
    assert_eq!(one.wait().code(), Some(0), "{:?}", one.said);
    assert_eq!(house.get("/q/q/status").unwrap()["localWorkers"], serde_json::json!({}), "it is gone at once");
    assert_eq!(house.result("q", &id)["finishedReason"], "Success");
    assert_eq!(state(&house, "q", &left), "Queued");
    let mut idle = worker(&house, "idle", &["q", "--exit-when-idle", "1s"], "q");
    assert_eq!(idle.wait().code(), Some(0), "{:?}", idle.said);
    assert_eq!(house.result("q", &left)["finishedReason"], "Success");
}

#[test]
fn an_autoscaled_worker_that_never_reached_its_queue_ends_with_3() {
    let data = data_directory();
    let mut command = asman();
    command.args(["worker", "run", "q", "--exit-when-idle", "1s", "--api", "http://127.0.0.1:1", "--data-directory"]);
    let mut lost = Running::start(command.arg(data.path()));
    assert_eq!(lost.wait().code(), Some(3), "{:?}", lost.said);
    let house = House::over(test_database());
    let _api = house.start_api();
    let mut set = asman();
    set.args(["queue", "policy", "set", "q", "--worker-token", "env:RIGHT", "--api", &house.api_url()]);
    let set = set.env("RIGHT", "right-0123456789abcdef").output().unwrap();
    assert!(set.status.success(), "{set:?}");
    let mut command = asman();
    command.args(["worker", "run", "q", "--exit-when-idle", "1s", "--api", &house.api_url(), "--data-directory"]);
    let mut refused = Running::start(command.arg(data.path()).env("ASMAN_WORKER_TOKEN", "wrong-0123456789abcdef"));
    assert_eq!(refused.wait().code(), Some(3), "{:?}", refused.said);
}

#[test]
fn a_worker_of_a_local_api_runs_jobs_and_keeps_web_pages_out() {
    let data = data_directory();
    let port = free_port();
    let mut command = asman();
    command.args(["worker", "run", "--mode=local", "mine", "--cpus", "1", "--port", &port.to_string(), "--data-directory"]);
    let mut running = Running::start(command.arg(data.path()).env("METAPAGE_IO_WORKER_PORT", "1"));
    running.wait_for("Asman is up");
    let api = format!("http://localhost:{port}");
    for queue in ["local", "mine"] {
        let add = ["job", "add", queue, "-i", "asman/demo", "-c", "echo from here", "--wait", "--api", &api];
        let added = run(&add);
        assert_eq!(added.status.code(), Some(0), "{}", text(&added.stderr));
        assert!((text(&added.stdout) + &text(&added.stderr)).contains("from here"), "{added:?}");
    }
    assert_eq!(curl(&api, &["-H", "Host: evil.example"]), "421");
    assert_eq!(curl(&api, &["-H", "Origin: https://evil.example"]), "403");
    assert_eq!(curl(&api, &["-H", &format!("Origin: {api}")]), "200");
    assert!(data.path().join("database").is_dir() && data.path().join("worker").is_dir(), "everything is in its data directory");
    assert!(!running.said.iter().any(|line| line.contains("mine")), "{:?}", running.said);
    assert_eq!(running.stop().code(), Some(0), "{:?}", running.said);
}

/// The status of a request with these arguments of curl.
fn curl(api: &str, arguments: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args(["-s", "-o", "/dev/null", "-w", "%{http_code}"]).args(arguments).arg(format!("{api}/q/local"));
    text(&command.output().unwrap().stdout)
}

#[test]
fn up_is_for_this_machine_alone_unless_it_is_told_to_listen_elsewhere() {
    let data = data_directory();
    let start = |arguments: &[&str]| {
        let mut command = asman();
        command.args(["up", "--no-worker", "--port", "0", "--data-directory"]).arg(data.path()).args(arguments);
        let mut running = Running::start(&mut command);
        let api = support::address_of(&running.wait_for("Asman is up"));
        (running, api)
    };
    let (mut running, api) = start(&["--allow-origin", "https://page.example"]);
    assert_eq!(curl(&api, &["-H", "Host: evil.example"]), "421");
    assert_eq!(curl(&api, &["-H", "Origin: https://evil.example"]), "403");
    assert_eq!(curl(&api, &["-H", "Origin: https://page.example"]), "200");
    running.stop();
    let (mut open, api) = start(&["--listen", "0.0.0.0"]);
    assert!(open.said.iter().any(|line| line.contains("Other machines can reach")), "{:?}", open.said);
    assert_eq!(curl(&api, &["-H", "Host: evil.example", "-H", "Origin: https://evil.example"]), "200");
    open.stop();
}

/// A copy of the program with additional bytes at its end, which change only its hash.
fn other_program(folder: &Path) -> std::path::PathBuf {
    let place = folder.join("asman");
    std::fs::copy(env!("CARGO_BIN_EXE_asman"), &place).unwrap();
    std::fs::OpenOptions::new().append(true).open(&place).unwrap().write_all(b"older").unwrap();
    std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755)).unwrap();
    place
}

fn upgrade(program: &Path, api: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(program).args(["worker", "upgrade", "--api", api]).args(arguments).output().unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn an_upgrade_brings_the_program_to_what_the_api_runs() {
    let house = House::over(test_database());
    let _api = house.start_api();
    let folder = tempfile::tempdir().unwrap();
    let program = other_program(folder.path());
    let of_api = std::fs::read(env!("CARGO_BIN_EXE_asman")).unwrap();
    let (code, said, _) = upgrade(&program, &house.api_url(), &["--check"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(std::fs::read(&program).unwrap() != of_api, "a check changes nothing");
    let (code, said, noted) = upgrade(&program, &house.api_url(), &[]);
    assert_eq!(code, Some(0), "{said}{noted}");
    assert!(noted.contains("restarted"), "{noted}");
    assert!(std::fs::read(&program).unwrap() == of_api, "it is the API's own");
    assert_eq!(std::fs::metadata(&program).unwrap().permissions().mode() & 0o777, 0o755);
    let (code, said, _) = upgrade(&program, &house.api_url(), &["--check", "--json"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["isCurrent"], true);
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["asman"], "nothing is left beside it");
}

/// A server that gives this answer to two requests, one for each connection, and then ends.
fn answer(body: &'static [u8], sha256: String) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok).take(2) {
            let mut stream = stream;
            let mut head = [0; 4096];
            let n = std::io::Read::read(&mut stream, &mut head).unwrap();
            let is_head = head[..n].starts_with(b"HEAD");
            let headers = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\nx-asman-version: 9.9.9\r\nx-asman-sha256: {sha256}\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(headers.as_bytes()).unwrap();
            if !is_head {
                stream.write_all(body).unwrap();
            }
        }
    });
    url
}

#[test]
fn a_program_that_is_not_what_it_should_be_is_not_put_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let program = other_program(folder.path());
    let before = std::fs::read(&program).unwrap();
    let hash = |bytes: &[u8]| protocol::sha256_hex(bytes);
    let forged = answer(b"#!/bin/sh\necho asman 9.9.9\n", hash(b"something else"));
    let (code, _, noted) = upgrade(&program, &forged, &[]);
    assert_eq!(code, Some(1), "{noted}");
    assert!(noted.contains("nothing was changed"), "{noted}");
    let broken = answer(b"#!/bin/sh\nexit 7\n", hash(b"#!/bin/sh\nexit 7\n"));
    let (code, _, noted) = upgrade(&program, &broken, &[]);
    assert_eq!(code, Some(1), "{noted}");
    assert!(noted.contains("does not run"), "{noted}");
    let (code, _, noted) = upgrade(&program, "http://127.0.0.1:1", &[]);
    assert_eq!(code, Some(3), "{noted}");
    assert!(std::fs::read(&program).unwrap() == before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
}

/// A network namespace that has only a loopback device. An engine in it does not disturb the bridges of other engines. Its mounts are
/// removed with it.
struct Apart(String);

impl Apart {
    fn new() -> Self {
        assert!(rustix::process::geteuid().is_root(), "only root can start an engine: run the tests as root");
        let name = format!("asman-test-{}", std::process::id());
        let made = Self(name.clone());
        made.ip(&["netns", "add", &name]);
        made.ip(&["-n", &name, "link", "set", "lo", "up"]);
        made
    }

    fn ip(&self, arguments: &[&str]) {
        let output = Command::new("ip").args(arguments).output().expect("ip is here: ./x test installs it");
        assert!(output.status.success(), "{}: {}", self.0, text(&output.stderr));
    }

    fn command(&self, program: &str) -> Command {
        // `ip netns exec` is not used, because it hides the control groups together with the rest of /sys.
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.0)).args(["unshare", "--mount", program]);
        command
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).output();
    }
}

#[test]
fn a_worker_without_an_engine_starts_one_and_stops_it_at_the_end() {
    let (house, apart) = (House::over(test_database()), Apart::new());
    let program = env!("CARGO_BIN_EXE_asman");
    let mut api = apart.command(program);
    api.args([
        "api",
        "--database-url",
        &house.database_url,
        "--listen",
        &format!("127.0.0.1:{}", house.port),
        "--blob-directory",
    ]);
    let mut api = Running::start(api.arg(house.folder.path().join("blobs")));
    let data = house.folder.path().join("data");
    let socket = house.folder.path().join("d.sock");
    let mut command = apart.command(program);
    command.args(["worker", "run", "q", "--start-docker", "--api", &house.api_url(), "--data-directory"]).arg(&data);
    command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
    let started = Instant::now();
    let mut worker = Running::start(&mut command);
    worker.wait_for("worker is ready");
    println!("engine and worker ready after {:?}", started.elapsed());
    assert!(data.join("docker").is_dir() && data.join("dockerd.log").is_file());
    let version = Command::new("curl").args(["-s", "--unix-socket"]).arg(&socket).arg("http://d/version").output().unwrap();
    assert!(text(&version.stdout).contains("ApiVersion"));
    assert_eq!(worker.stop().code(), Some(0), "{:?}", worker.said);
    assert!(worker.said.iter().any(|line| line.contains("Docker engine stopped")), "{:?}", worker.said);
    let gone =
        Command::new("curl").args(["-s", "-m", "5", "--unix-socket"]).arg(&socket).arg("http://d/version").output().unwrap();
    assert!(!gone.status.success(), "the engine is gone with its worker");
    api.stop();
}

#[test]
fn an_engine_that_cannot_be_started_is_named_with_its_fix() {
    let folder = tempfile::tempdir().unwrap();
    let start = |program: &Path, change: &dyn Fn(&mut Command)| {
        let mut command = Command::new(program);
        command.args(["worker", "run", "q", "--start-docker", "--data-directory"]).arg(folder.path().join("data"));
        command.env("DOCKER_HOST", format!("unix://{}/none.sock", folder.path().display()));
        change(&mut command);
        let output = command.output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let program = Path::new(env!("CARGO_BIN_EXE_asman"));
    let (code, said) = start(program, &|command| {
        command.env("DOCKER_HOST", "tcp://127.0.0.1:1");
    });
    assert!(code == Some(3) && said.contains("DOCKER_HOST"), "{code:?} {said}");
    // The program runs as another user than root, who must be able to reach it.
    let reachable = folder.path().join("asman");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::copy(program, &reachable).unwrap();
    let (code, said) = start(&reachable, &|command| {
        std::os::unix::process::CommandExt::uid(command, 65_534);
    });
    assert!(code == Some(3) && said.contains("root"), "{code:?} {said}");
}

#[test]
fn a_second_local_worker_on_the_same_directory_is_refused() {
    let data = data_directory();
    let mut first = asman();
    first.args(["worker", "run", "--mode", "local", "-p", "0", "--data-directory"]).arg(data.path());
    let mut first = Running::start(&mut first);
    first.wait_for("Asman is up");
    let second = asman().args(["worker", "run", "--mode", "local", "-p", "0", "-d"]).arg(data.path()).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("already running"), "{}", text(&second.stderr));
    first.stop();
}
