//! What jobs can reach on the network. The tests also show that each rule is needed: without the guard, the same addresses answer.

use std::process::Command;

use protocol::Reason;
use worker::{Error, Network, Shutdown};

use crate::api::FakeApi;
use crate::harness::{self, TestWorker, Victim, containers_of, data_label, docker, ready_sandboxes, script};
use crate::world::{OWN_PRIVATE, PUBLIC, World, probe, serve_names};

/// Those of the addresses that a job of this worker reaches.
async fn reached(worker: &TestWorker, addresses: &[String]) -> Vec<String> {
    let (job, finish) = worker.run(&script(&probe(addresses))).await;
    assert_eq!(finish.reason, Reason::Success, "{:?}", finish.message);
    let text = worker.api.text(&job, false);
    assert_eq!(text.lines().count(), addresses.len(), "{text}{}", worker.api.text(&job, true));
    text.lines().filter_map(|line| line.strip_suffix(" open")).map(str::to_owned).collect()
}

/// Starts a job that serves a page. Returns the job and its address.
async fn serving(worker: &TestWorker) -> (String, String) {
    let serve = r#"ip -4 -o addr show eth0; while :; do printf "HTTP/1.0 200 OK\r\n\r\n" | nc -l -p 8000; done"#;
    let job = worker.api.submit(&script(serve));
    worker.api.until_logged(&job, "eth0").await;
    let text = worker.api.text(&job, false);
    let address = text.split_whitespace().skip_while(|word| *word != "inet").nth(1).unwrap();
    (job, format!("{}:8000", address.split('/').next().unwrap()))
}

fn all(world: &World, neighbour: String) -> Vec<String> {
    let mut addresses = world.guarded();
    addresses.extend([neighbour, format!("{PUBLIC}:80")]);
    addresses
}

#[tokio::test]
async fn a_job_reaches_public_addresses_and_nothing_else() {
    let world = World::new();
    let worker = TestWorker::start().await;
    // These jobs use sandboxes. The test of flushed rules covers jobs in other networks.
    ready_sandboxes(&worker.data()).await;
    let (job, neighbour) = serving(&worker).await;
    assert_eq!(reached(&worker, &all(&world, neighbour)).await, [format!("{PUBLIC}:80")]);
    worker.api.cancel(&job);
    worker.stop().await;
}

#[tokio::test]
async fn without_the_guard_all_of_it_is_reached() {
    let world = World::new();
    let worker = TestWorker::start_with(|config| config.isolation.network = Network::Open).await;
    let (job, neighbour) = serving(&worker).await;
    let addresses = all(&world, neighbour);
    assert_eq!(reached(&worker, &addresses).await, addresses);
    worker.api.cancel(&job);
    worker.stop().await;
}

#[tokio::test]
async fn a_strangers_job_in_gvisor_reaches_public_addresses_and_nothing_else() {
    let world = World::new();
    let worker = TestWorker::start_with(|config| config.isolation.untrusted = true).await;
    let addresses = all(&world, format!("{OWN_PRIVATE}:53"));
    assert_eq!(reached(&worker, &addresses).await, [format!("{PUBLIC}:80")]);
    worker.drain().await;
}

#[tokio::test]
async fn a_job_without_network_reaches_nothing() {
    let world = World::new();
    let worker = TestWorker::start_with(|config| config.isolation.network = Network::None).await;
    let addresses: Vec<_> = all(&world, format!("{OWN_PRIVATE}:1")).into_iter().filter(|a| !a.starts_with("gateway")).collect();
    assert!(reached(&worker, &addresses).await.is_empty());
    assert_eq!(network_of(&worker), "", "there is none to look after");
    worker.drain().await;
}

#[tokio::test]
async fn the_owner_and_the_api_open_private_addresses() {
    let world = World::new();
    let api = FakeApi::start_at(OWN_PRIVATE).await;
    let place = api.url.strip_prefix("http://").unwrap().to_owned();
    let addresses =
        [place.clone(), format!("{OWN_PRIVATE}:{}", world.own_port), "10.213.7.9:80".into(), "192.168.213.9:80".into()];
    let worker = TestWorker::start_on(api.clone(), |config| {
        config.isolation.network_allow = vec!["192.168.213.0/24:80".parse().unwrap()];
    })
    .await;
    assert_eq!(reached(&worker, &addresses).await, [place.clone(), "192.168.213.9:80".into()]);
    worker.drain().await;
    // Jobs of strangers do not reach a private API.
    let worker = TestWorker::start_on(api, |config| config.isolation.untrusted = true).await;
    assert!(reached(&worker, &addresses).await.is_empty());
    worker.drain().await;
}

#[tokio::test]
async fn names_are_resolved_by_a_private_name_server() {
    let world = World::new();
    serve_names();
    for is_untrusted in [false, true] {
        let worker = TestWorker::start_with(|config| {
            config.isolation.dns = vec![OWN_PRIVATE.parse().unwrap()];
            config.isolation.untrusted = is_untrusted;
        })
        .await;
        if !is_untrusted {
            ready_sandboxes(&worker.data()).await;
        }
        let (job, finish) = worker.run(&script("nslookup somewhere.test")).await;
        let said = worker.api.text(&job, false) + &worker.api.text(&job, true);
        assert_eq!(finish.result.status_code, Some(0), "untrusted: {is_untrusted}: {said}");
        assert!(said.contains(PUBLIC), "untrusted: {is_untrusted}: {said}");
        assert!(reached(&worker, &[format!("{OWN_PRIVATE}:{}", world.own_port)]).await.is_empty());
        worker.drain().await;
    }
}

/// The engine removes its own rules for some milliseconds when a network is made.
#[tokio::test]
async fn a_job_reaches_no_more_while_the_engine_moves_its_own_rules() {
    let world = World::new();
    let worker = TestWorker::start().await;
    let iptables = |action: &str| Command::new("iptables").args(["-w", action, "FORWARD", "-j", "DOCKER-USER"]).status().unwrap();
    assert!(iptables("-D").success());
    let reached = reached(&worker, &all(&world, format!("{OWN_PRIVATE}:1"))).await;
    let _ = iptables("-D");
    assert!(iptables("-I").success());
    assert_eq!(reached, [format!("{PUBLIC}:80")]);
    worker.drain().await;
}

#[tokio::test]
async fn flushed_rules_and_a_pruned_network_come_back() {
    let world = World::new();
    let worker = TestWorker::start().await;
    let (job, _) = worker.run(&script("true")).await;
    assert!(worker.api.text(&job, true).is_empty());
    let network = network_of(&worker);
    harness::eventually("a network that nobody uses", || {
        harness::sandboxes_of(&worker.data()).lines().for_each(|id| drop(docker(&["rm", "--force", id])));
        Command::new("docker").args(["network", "rm", &network]).output().unwrap().status.success()
    })
    .await;
    for rule in harness::rules_of(&worker.data()).lines().filter(|rule| rule.contains("comment")) {
        let words = shell_words::split(&rule.replacen("-A", "-D", 1)).unwrap();
        assert!(Command::new("iptables").arg("-w").args(words).status().unwrap().success());
    }
    assert!(!harness::rules_of(&worker.data()).contains("comment"));
    // One of the two jumps is enough.
    let chain = format!("ASMAN-{}-OUT", &data_label(&worker.data())[..12]);
    harness::eventually("the jumps are back", || harness::rules_of(&worker.data()).matches("--comment").count() == 3).await;
    assert!(Command::new("iptables").args(["-w", "-D", &chain, "2"]).status().unwrap().success());
    let n_rules = harness::rules_of(&worker.data()).lines().count();
    harness::eventually("the rule is back", || harness::rules_of(&worker.data()).lines().count() == n_rules + 1).await;
    let addresses = all(&world, format!("{OWN_PRIVATE}:1"));
    assert_eq!(reached(&worker, &addresses).await, [format!("{PUBLIC}:80")]);
    assert_ne!(network_of(&worker), network);
    worker.drain().await;
}

#[tokio::test]
async fn a_start_after_a_crash_takes_over_network_and_rules() {
    let worker = TestWorker::start().await;
    worker.api.until("a claim", |heard| (!heard.claims.is_empty()).then_some(())).await;
    let data = worker.data();
    let _folder = worker.crash().await;
    let next = TestWorker::start_with(|config| config.data_directory = Some(data.clone())).await;
    next.api.until("a claim", |heard| (!heard.claims.is_empty()).then_some(())).await;
    assert_eq!(network_of(&next).lines().count(), 1);
    assert_eq!(harness::rules_of(&data).matches("--comment").count(), 3, "nothing is there twice");
    // The end of every test checks that nothing is left behind.
    next.drain().await;
}

#[tokio::test]
async fn whoever_starts_next_tidies_up_after_a_worker_that_never_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let api = FakeApi::start().await;
    let victim = Victim::start(&api, &data).await;
    api.until("a claim", |heard| (!heard.claims.is_empty()).then_some(())).await;
    let label = data_label(&data);
    assert!(!harness::networks_labelled(&label).is_empty() && harness::rules_by("iptables", &label).contains("169.254.0.0/16"));
    victim.kill();
    drop(folder);
    let other = TestWorker::start().await;
    other.api.until("a claim", |heard| (!heard.claims.is_empty()).then_some(())).await;
    assert_eq!(harness::networks_labelled(&label) + &harness::rules_by("iptables", &label), "");
    // The objects of a live worker stay.
    let third = TestWorker::start().await;
    third.api.until("a claim", |heard| (!heard.claims.is_empty()).then_some(())).await;
    assert_eq!(harness::rules_of(&other.data()).matches("--comment").count(), 3);
    third.drain().await;
    other.drain().await;
}

#[test]
fn without_the_means_to_guard_a_strangers_worker_does_not_start() {
    // The worker runs in a separate mount namespace, in which iptables cannot be executed.
    let hide = "for f in /usr/sbin/iptables /sbin/iptables; do [ ! -e $f ] || mount --bind /dev/null $f; done";
    let this = std::env::current_exe().unwrap();
    let run = format!("{hide}; PATH=/usr/bin:/bin exec {} --exact network::unguarded --ignored --nocapture", this.display());
    let output = Command::new("unshare").args(["-m", "sh", "-c", &run]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "run by without_the_means_to_guard_a_strangers_worker_does_not_start"]
async fn unguarded() {
    let worker = TestWorker::start().await;
    assert_eq!(worker.run(&script("true")).await.1.reason, Reason::Success, "an owner's worker goes on");
    let mut config = worker.config.clone();
    worker.drain().await;
    config.isolation.untrusted = true;
    let error = worker::run(config.clone(), Shutdown::new()).await.unwrap_err();
    assert!(matches!(&error, Error::Machine(_)) && error.to_string().contains("iptables is missing; install it"), "{error}");
    let data = config.data_directory.clone().unwrap();
    assert_eq!(harness::networks_of(&data), "", "a refused start leaves nothing");
    config.isolation.network = Network::Open;
    assert!(matches!(worker::run(config, Shutdown::new()).await, Err(Error::Config(_))));
    assert_eq!((containers_of(&data), data_label(&data).len()), (String::new(), 32));
}

fn network_of(worker: &TestWorker) -> String {
    harness::networks_of(&worker.data())
}
