//! Prints the types of the wire as TypeScript: `cargo run -p protocol --features typescript --example wire > web/src/wire.ts`.
//!
//! Every message and body that crosses the wire is a root; the types that they use follow by themselves.

use std::any::TypeId;
use std::collections::BTreeMap;

use protocol::report::{JobPage, Report};
use protocol::{
    ClaimAnswer, ClaimRequest, ClientMessage, EndCode, EnqueueJob, ErrorCode, FinishRequest, HeartbeatAnswer, HeartbeatRequest,
    HistoryEntry, LogsRequest, ReleaseRequest, ServerMessage, Step, WorkerMessage,
};
use ts_rs::{Config, TS, TypeVisitor};

const HEADER: &str =
    "// The types of the wire, made of the Rust crate `protocol`: `just wire` writes this file, nobody edits it.\n";

struct Declarations {
    config: Config,
    seen: Vec<TypeId>,
    by_name: BTreeMap<String, String>,
}

impl TypeVisitor for Declarations {
    fn visit<T: TS + 'static + ?Sized>(&mut self) {
        // Types of the standard library have no file and are written where they are used.
        if T::output_path().is_none() || self.seen.contains(&TypeId::of::<T>()) {
            return;
        }
        self.seen.push(TypeId::of::<T>());
        let docs = T::docs().unwrap_or_default();
        self.by_name.insert(T::name(&self.config), format!("{docs}export {}", T::decl(&self.config)));
        T::visit_dependencies(self);
    }
}

fn main() {
    let config = Config::new().with_large_int("number");
    let mut found = Declarations { config, seen: Vec::new(), by_name: BTreeMap::new() };
    found.visit::<ClientMessage>();
    found.visit::<ServerMessage>();
    found.visit::<WorkerMessage>();
    found.visit::<EnqueueJob>();
    found.visit::<HistoryEntry>();
    found.visit::<Step>();
    found.visit::<Report>();
    found.visit::<JobPage>();
    found.visit::<ClaimRequest>();
    found.visit::<ClaimAnswer>();
    found.visit::<HeartbeatRequest>();
    found.visit::<HeartbeatAnswer>();
    found.visit::<LogsRequest>();
    found.visit::<FinishRequest>();
    found.visit::<ReleaseRequest>();
    found.visit::<ErrorCode>();
    print!("{HEADER}");
    print!("\n{}", end_codes());
    for declaration in found.by_name.into_values() {
        print!("\n{}", readable(&declaration));
    }
}

/// The table of end codes. A code on the wire may be one of a later release, so this is no type of a member.
fn end_codes() -> String {
    let codes = EndCode::ALL.iter().map(|code| format!("  | \"{code}\" // {}: {}\n", code.fault().as_str(), code.meaning()));
    format!("/** Why a job has no result. */\nexport type EndCode =\n{}", codes.collect::<String>())
}

/// Indents the members, puts comments of one line on one line, and writes a mapped type as the record that it is.
fn readable(declaration: &str) -> String {
    let mut text = String::new();
    let mut indent = "";
    let mut lines = declaration.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        if line == "/**" {
            let comment: Vec<&str> = lines.by_ref().take_while(|line| *line != "*/").collect();
            text += &commented(&comment, indent);
            continue;
        }
        let (member, is_last) =
            line.strip_suffix(" };").filter(|member| member.ends_with(',')).map_or((line, false), |m| (m, true));
        text += &format!("{indent}{}\n", as_record(member.trim_end_matches(';')));
        if is_last {
            text += "}\n";
        }
        indent = if line.ends_with('{') { "  " } else { indent };
    }
    text
}

fn commented(comment: &[&str], indent: &str) -> String {
    if let [only] = comment {
        return format!("{indent}/** {} */\n", only.trim_start_matches("* "));
    }
    let lines: String = comment.iter().map(|line| format!("{indent} {line}\n")).collect();
    format!("{indent}/**\n{lines}{indent} */\n")
}

/// `{ [key in string]: X }` in other words.
fn as_record(member: &str) -> String {
    match member.split_once("{ [key in string]: ") {
        Some((before, after)) => format!("{before}Record<string, {}", after.replacen(" }", ">", 1)),
        None => member.to_owned(),
    }
}
