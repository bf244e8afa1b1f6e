//! What the program prints about itself, and how it answers arguments that it cannot understand.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use support::{asman, run, text};

#[test]
fn help_names_every_command_and_every_exit_code() {
    let output = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = text(&output.stdout);
    for part in [
        "up ",
        "down ",
        "api ",
        "worker ",
        "job ",
        "queue ",
        "db ",
        "doctor ",
        "Exit codes:",
        "130  interrupted",
        "--json",
        "ASMAN_API",
    ] {
        assert!(help.contains(part), "{part:?} in {help}");
    }
}

#[test]
fn help_of_a_command_shows_an_example() {
    for command in [
        &["up"][..],
        &["down"],
        &["job", "add"],
        &["job", "await"],
        &["job", "logs"],
        &["queue", "policy", "set"],
        &["worker", "run"],
        &["api"],
        &["db", "run"],
    ] {
        let output = run(&[command, &["--help"]].concat());
        let help = text(&output.stdout);
        assert!(help.contains("Example"), "{command:?}: {help}");
    }
}

#[test]
fn help_of_a_worker_names_what_an_owner_may_have_to_change() {
    let help = text(&run(&["worker", "run", "--help"]).stdout);
    for flag in ["--pull-patience", "--disk", "--data-directory", "--exit-when-idle", "--allow-registry", "--gpus"] {
        assert!(help.contains(flag), "{flag} in {help}");
    }
}

#[test]
fn what_cannot_be_understood_exits_with_2() {
    for arguments in [
        &["nonsense"][..],
        &["up", "--port", "99999"],
        &["up", "--demo", "/nonexistent/Cargo.lock"],
        &["job", "add"],
        &["job", "add", "a/b", "-i", "x"],
        &["job", "add", "q"],
        &["job", "add", "q", "-i", "x", "-c", "echo 'open"],
        &["job", "add", "q", "-i", "x", "-e", "NOVALUE"],
        &["job", "add", "q", "-i", "x", "-f", "/nonexistent/file"],
        &["job", "add", "q", "-i", "x", "--max-duration", "soon"],
        &["job", "add", "q", "--definition", "/nonexistent.json"],
        &["job", "list", "q", "--api", "ftp://x"],
        &["queue", "policy", "set", "q"],
        &["queue", "policy", "set", "q", "--owner-token", "the-token-itself"],
        &["queue", "policy", "set", "q", "--owner-token", "file:/nonexistent"],
        &["queue", "policy", "set", "q", "--pause", "--resume"],
        &["queue", "policy", "get", "q", "--token-file", "/nonexistent"],
        &["db", "migrate"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_number_that_cannot_be_is_refused_with_what_can() {
    for (arguments, allowed) in [
        (&["worker", "run", "q", "--cpus", "-1"][..], "a number above 0 and at most 4096"),
        (&["worker", "run", "q", "-c", "-1"], "a number above 0 and at most 4096"),
        (&["worker", "run", "q", "--cpus", "nan"], "a number above 0 and at most 4096"),
        (&["worker", "run", "q", "--cpus", "many"], "a number above 0 and at most 4096"),
        (&["worker", "run", "q", "--jobs", "-1"], "1..=4096"),
        (&["worker", "run", "q", "--jobs", "0"], "1..=4096"),
        (&["worker", "run", "q", "--max-jobs", "-1"], "a whole number from 1"),
        (&["worker", "run", "q", "--max-jobs", "0"], "a whole number from 1"),
        (&["worker", "run", "q", "--pids", "-1"], "1..=2147483647"),
        (&["worker", "run", "q", "--gpus", "-1"], "give their number (2)"),
        (&["worker", "run", "q", "--memory", "-1g"], "512m, 4g or 4GiB"),
        (&["worker", "run", "q", "--disk", "-1g"], "512m, 4g or 4GiB"),
        (&["worker", "run", "q", "--disk-reserve", "-1"], "512m, 4g or 4GiB"),
        (&["worker", "run", "q", "--disk-high", "-1%"], "85%"),
        (&["worker", "run", "q", "--max-job-duration", "-5m"], "90s, 20m, 1h30m, 2d or 1w"),
        (&["worker", "run", "q", "--exit-when-idle", "-5"], "90s, 20m, 1h30m, 2d or 1w"),
        (&["job", "add", "q", "-i", "x", "--cpus", "-1"], "a number from 0 to 4096"),
        (&["job", "add", "q", "-i", "x", "--gpus", "-1"], "0..=1024"),
        (&["job", "add", "q", "-i", "x", "--memory", "-1g"], "512m, 4g or 4GiB"),
        (&["job", "add", "q", "-i", "x", "--max-duration", "-5m"], "90s, 20m, 1h30m, 2d or 1w"),
        (&["queue", "policy", "set", "q", "--max-duration", "-5m"], "90s, 20m, 1h30m, 2d or 1w"),
    ] {
        let output = run(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(allowed) && !said.contains("tip:"), "{arguments:?}: {said}");
    }
}

#[test]
fn an_api_that_is_not_there_exits_with_3_and_no_queue_name() {
    // This port was bound and closed, so nothing answers there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let api = format!("http://127.0.0.1:{port}");
    for arguments in
        [&["job", "add", "secret-name", "-i", "x"][..], &["job", "list", "secret-name"], &["job", "result", "secret-name", "a"]]
    {
        let output = asman().args(arguments).env("ASMAN_API", &api).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("asman up") && !said.contains("secret-name"), "{said}");
    }
}

#[test]
fn doctor_has_a_line_for_each_need_and_a_fix_for_each_problem() {
    let output = asman().args(["doctor", "--json"]).env("ASMAN_POSTGRES_BIN", "/nonexistent").output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let checks: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<&str> = checks.iter().map(|check| check["name"].as_str().unwrap()).collect();
    let machine = ["PostgreSQL", "engine", "API", "disk", "port"];
    let jobs = ["container", "data", "limits", "rights", "gpus", "guard", "images"];
    assert_eq!(names, [&machine[..], &jobs[..], &["gVisor", "iptables", "git", "pages"]].concat());
    assert_eq!(checks[0]["verdict"], "missing");
    assert!(checks[0]["text"].as_str().unwrap().contains("apt-get install postgresql"));
    assert!(checks[5..9].iter().all(|check| check["verdict"] == "ok"), "{checks:?}");
    assert!(checks[9..].iter().all(|check| check["verdict"] != "missing"), "only some jobs need them: {checks:?}");
    let output = asman().args(["doctor", "--json", "--gpus", "1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let checks: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let gpus = checks.iter().find(|check| check["name"] == "gpus").unwrap();
    assert!(gpus["verdict"] == "missing" && gpus["text"].as_str().unwrap().contains("container toolkit"), "{gpus}");
    let without = asman().args(["doctor", "--json"]).env("PATH", "/nonexistent").output().unwrap();
    let checks: Vec<serde_json::Value> = serde_json::from_slice(&without.stdout).unwrap();
    let git = checks.iter().find(|check| check["name"] == "git").unwrap();
    assert!(git["verdict"] == "note" && git["text"].as_str().unwrap().contains("apt-get install git"), "{git}");
}

#[test]
fn pages_elsewhere_are_let_in_and_shut_out_by_their_origin() {
    let data = tempfile::tempdir().unwrap();
    let consent = |arguments: &[&str]| {
        let output = asman().arg("consent").args(arguments).arg("--data-directory").arg(data.path()).output().unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    assert_eq!(consent(&["list", "--json"]), (Some(0), "[]\n".to_owned(), String::new()));
    let (code, _, said) = consent(&["allow", "https://Page.example:443"]);
    assert_eq!(code, Some(0));
    assert!(said.contains("Pages of https://page.example may use this machine now"), "{said}");
    assert!(consent(&["allow", "https://page.example"]).2.contains("might already"));
    let listed: Vec<serde_json::Value> = serde_json::from_str(&consent(&["list", "--json"]).1).unwrap();
    assert_eq!((listed.len(), listed[0]["origin"].as_str()), (1, Some("https://page.example")));
    let doctor = asman().args(["doctor", "--json", "--data-directory"]).arg(data.path()).output().unwrap();
    let checks: Vec<serde_json::Value> = serde_json::from_slice(&doctor.stdout).unwrap();
    let pages = checks.iter().find(|check| check["name"] == "pages").unwrap()["text"].as_str().unwrap();
    assert!(pages.contains("https://page.example") && pages.contains("asman consent revoke"), "{pages}");
    for bad in ["page.example", "https://page.example/path", "null"] {
        assert_eq!(consent(&["allow", bad]).0, Some(2), "{bad}");
    }
    assert_eq!(consent(&["revoke", "https://page.example"]).0, Some(0));
    assert!(consent(&["revoke", "https://page.example"]).2.contains("were not allowed"));
    assert!(consent(&["list"]).2.contains("No pages of other origins"));
}
