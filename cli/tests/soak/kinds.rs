//! The kinds of jobs and how each must end.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::house::IMAGE;

/// Defines the kinds of jobs, their names without a prefix, and the order in which jobs use them.
macro_rules! kinds {
    ($($kind:ident),* $(,)?) => {
        /// What a job is meant to test.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind { $($kind),* }
        use Kind::{$($kind),*};
        const KINDS: &[Kind] = &[$($kind),*];
    };
}

kinds![
    Small,
    Large,
    ExitCode,
    LongLog,
    Inputs,
    CancelledEarly,
    CancelledLate,
    TimedOut,
    OutOfMemory,
    IgnoresTerm,
    OddOutputs,
    Build,
    BadImage,
];

/// The address of a registry that contains no images.
pub const REGISTRY: &str = "127.0.0.1:5000";

/// The kind of the job with this number.
pub const fn kind_of(n: usize) -> Kind {
    KINDS[n % KINDS.len()]
}

/// The content of the file to which the job's input refers by key.
pub fn kept_input(n: usize) -> Vec<u8> {
    format!("kept {n} {}\n", "x".repeat(400)).into_bytes()
}

/// The definition of job number `n`. The variable N makes each a different job.
pub fn definition(n: usize) -> Value {
    let kind = kind_of(n);
    let command = format!("sh -c {}", shell_words::quote(script(kind)));
    let mut definition =
        json!({ "image": IMAGE, "command": command, "env": { "N": n.to_string() }, "requirements": { "cpus": 0.4 } });
    match kind {
        Inputs => {
            let key = protocol::sha256_hex(&kept_input(n));
            definition["inputs"] =
                json!({ "inline": { "value": format!("inline {n}\n") }, "kept": { "type": "key", "value": key } });
        }
        TimedOut => definition["maxDuration"] = json!("1s"),
        IgnoresTerm => definition["maxDuration"] = json!("2s"),
        OutOfMemory => definition["requirements"]["memory"] = json!("32m"),
        Build => {
            definition.as_object_mut().unwrap().remove("image");
            definition["build"] = json!({ "dockerfile": format!("FROM {IMAGE}\nRUN echo built {n} > /built\n") });
        }
        BadImage => definition["image"] = json!(format!("{REGISTRY}/none:v1")),
        _ => (),
    }
    definition
}

const fn script(kind: Kind) -> &'static str {
    match kind {
        Small => "echo said $N; echo small $N > /outputs/small",
        Large => "busybox mkdir /outputs/in; seq $N $((N + 2000)) > /outputs/in/large; sleep 1",
        ExitCode => "echo said $N; exit 3",
        LongLog => "i=0; while [ $i -lt 20 ]; do seq $((i * 100 + 1)) $((i * 100 + 100)); i=$((i + 1)); sleep 0.1; done",
        Inputs => "cat /inputs/inline /inputs/kept",
        CancelledEarly | CancelledLate => "echo up; sleep 200",
        TimedOut => "sleep 200",
        OutOfMemory => "busybox tail /dev/zero",
        IgnoresTerm => "trap '' TERM; echo up; while true; do sleep 0.2; done",
        OddOutputs => {
            "busybox ln -s /etc/passwd /outputs/link; busybox ln -s / /outputs/root; busybox mkfifo /outputs/pipe; echo real > /outputs/real"
        }
        Build => "cat /built",
        BadImage => "true",
    }
}

/// The content of the output of [`Kind::Large`], which is fetched.
pub fn large_output(n: usize) -> String {
    let lines: Vec<_> = (n..=n + 2000).map(|line| line.to_string()).collect();
    lines.join("\n") + "\n"
}

/// Why the result is wrong, if it is. `job` is the data of `result.json`.
pub fn problem(n: usize, job: &Value) -> Option<String> {
    let kind = kind_of(n);
    let finished = &job["finished"];
    let says = |part: &str| finished["message"].as_str().is_some_and(|said| said.contains(part));
    let (reason, code, message) = match kind {
        CancelledEarly | CancelledLate => ("Cancelled", None, None),
        ExitCode => ("Success", Some(3), None),
        TimedOut | IgnoresTerm => ("TimedOut", None, Some("ran longer than")),
        // The engine may miss the kernel's message about a container that ends at once; then the result says that it did not report it.
        OutOfMemory if says("does not report that memory ran out") => ("Success", Some(137), None),
        OutOfMemory => ("Error", Some(137), Some("out of memory")),
        BadImage => ("Error", None, Some("none:v1")),
        _ => ("Success", Some(0), None),
    };
    if kind == BadImage && finished["code"] != "image-not-found" {
        return Some(format!("{kind:?} must end with image-not-found: {}", brief(job)));
    }
    let is_code = code.is_none_or(|code: i64| finished["result"]["StatusCode"] == code);
    let is_message = message.is_none_or(says);
    if job["state"] != "Finished" || job["finishedReason"] != reason || !is_code || !is_message {
        return Some(format!("{kind:?} must end as {reason} {code:?} {message:?}: {}", brief(job)));
    }
    // These lines are the worker's own. A worker that is killed while it stops a job may not write one.
    let (notes, lines): (Vec<_>, Vec<_>) = lines_of(finished).into_iter().partition(|line| line.starts_with(STOPPED));
    if notes.len() > 1 {
        return Some(format!("{kind:?}: its stop is told {} times: {}", notes.len(), brief(job)));
    }
    if let Some(expected) = expected_lines(n).filter(|expected| *expected != lines) {
        let at = expected.iter().zip(&lines).position(|(one, other)| one != other);
        return Some(format!("{kind:?}: {} lines of {}, other from {at:?}: {}", lines.len(), expected.len(), brief(job)));
    }
    let outputs = &finished["result"]["outputs"];
    let inline = |text: String| json!({ "value": STANDARD.encode(text), "type": "base64" });
    let is_output = match kind {
        Small => outputs == &json!({ "small": inline(format!("small {n}\n")) }),
        OddOutputs => outputs == &json!({ "real": inline("real\n".to_owned()) }),
        Large => outputs.as_object().is_some_and(|all| all.len() == 1) && outputs["in/large"]["type"] != "base64",
        CancelledEarly | CancelledLate => true,
        _ => outputs.as_object().is_none_or(serde_json::Map::is_empty),
    };
    (!is_output).then(|| format!("{kind:?} has other outputs: {}", brief(job)))
}

fn lines_of(finished: &Value) -> Vec<String> {
    let logs = finished["result"]["logs"].as_array().into_iter().flatten();
    logs.filter_map(|line| line[0].as_str()).map(|text| text.trim_end_matches('\n').to_owned()).collect()
}

/// The beginning of the worker's line about a job that was stopped because its time was over.
const STOPPED: &str = "the job ran longer than ";

/// All lines of the run, for the kinds that always write the same lines.
fn expected_lines(n: usize) -> Option<Vec<String>> {
    let whole = |text: String| Some(text.lines().map(str::to_owned).collect());
    match kind_of(n) {
        Small | ExitCode => whole(format!("said {n}")),
        LongLog => Some((1..=2000).map(|line: u32| line.to_string()).collect()),
        Inputs => whole(format!("inline {n}\n{}", String::from_utf8(kept_input(n)).unwrap())),
        Build => whole(format!("built {n}")),
        Large | TimedOut => Some(Vec::new()),
        IgnoresTerm => whole("up".to_owned()),
        _ => None,
    }
}

fn brief(job: &Value) -> String {
    let text = job.to_string();
    let end: String = text.chars().take(1500).collect();
    if end.len() < text.len() { end + "…" } else { end }
}
