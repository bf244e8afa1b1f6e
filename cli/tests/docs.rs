//! Every example of the guide at `/docs` runs as it is shown, and prints the lines of the `text` block after it. Every link of the
//! repository's Markdown has a target that exists.
//!
//! The examples of a page run in one shell session in a folder of their own, so that each can use what earlier ones have set. SQL
//! goes to the database of the same server, JavaScript to Node.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};

use support::{Stack, data_directory, repository, text, until};

/// The address that the pages show.
const SHOWN: &str = "localhost:8000";

/// One block of code: its language and its lines.
struct Block {
    language: String,
    text: String,
}

/// The blocks of a page, in their order.
fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else { continue };
        let inside: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        blocks.push(Block { language: language.to_owned(), text: inside.join("\n") + "\n" });
    }
    blocks
}

/// The line that separates the output of one example from that of the next.
fn mark(at: usize) -> String {
    format!("-----8<----- {at}")
}

/// The examples of a page as one script. In it, curl fails when the API refuses a request; without an option it would not.
fn script(blocks: &[Block]) -> String {
    let mut script = "set -eu\nexec 2>&1\ncurl() { command curl --fail-with-body \"$@\"; }\n".to_owned();
    for (at, block) in blocks.iter().enumerate() {
        script += &format!("\necho; echo '{}'\n", mark(at));
        let text = &block.text;
        script += &match block.language.as_str() {
            "sh" => text.clone(),
            "sql" => format!("psql \"$DATABASE\" -X -v ON_ERROR_STOP=1 <<'END_OF_SQL'\n{text}END_OF_SQL\n"),
            "js" => format!("cat > example.mjs <<'END_OF_JS'\n{text}END_OF_JS\n$NODE example.mjs\n"),
            "text" | "html" | "json" | "console" | "python" | "yaml" | "nginx" => String::new(),
            other => panic!("this test cannot run a block of {other:?}"),
        };
    }
    script
}

/// Node with the options that the JavaScript of the pages needs: Node 20 has WebSockets only with an option.
fn node() -> &'static str {
    let has_sockets = Command::new("node").args(["-e", "new WebSocket('ws://127.0.0.1:1')"]).stderr(Stdio::null()).status();
    if has_sockets.unwrap().success() { "node" } else { "node --experimental-websocket" }
}

/// Runs the examples of a page. Returns whether the page has any.
fn run(page: &str, stack: &Stack, data: &Path) -> bool {
    let source = std::fs::read_to_string(repository().join("docs").join(page)).unwrap();
    let blocks = blocks(&source);
    if !blocks.iter().any(|block| ["sh", "sql"].contains(&block.language.as_str())) {
        return false;
    }
    let address = stack.api.strip_prefix("http://").unwrap();
    let work = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_asman")).parent().unwrap();
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(script(&blocks).replace(SHOWN, address)).current_dir(work.path());
    shell.env("PATH", format!("{}:{}", program.display(), std::env::var("PATH").unwrap())).env("NODE", node());
    shell.env("DATABASE", format!("host={} user=asman dbname=asman", data.join("socket").display()));
    let output = shell.stdin(Stdio::null()).output().unwrap();
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{page} fails at its last example:\n{said}");
    for (at, expected) in blocks.iter().enumerate().filter(|(_, block)| block.language == "text") {
        let printed = said.split(&mark(at - 1)).nth(1).unwrap().split(&mark(at)).next().unwrap();
        for line in expected.text.replace(SHOWN, address).lines() {
            assert!(printed.contains(line), "{page} promises {line:?} and prints:\n{printed}");
        }
    }
    true
}

/// Whether a worker is connected. The pages assume one, and it connects a moment after the API has started.
fn has_worker(api: &str) -> bool {
    let ask = r#"{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "get_queue_status"}}"#;
    let output = Command::new("curl").args(["-sS", &format!("{api}/mcp?queue=local"), "-d", ask]).output().unwrap();
    text(&output.stdout).contains("1 worker is connected")
}

/// The files of the guide's pages, as the server lists them.
fn pages(api: &str) -> Vec<String> {
    let output = Command::new("curl").args(["-sSf", &format!("{api}/llms.txt")]).output().unwrap();
    let list = text(&output.stdout);
    let names = list.split("/docs/").skip(1).filter_map(|rest| rest.split_once(".md)"));
    names.map(|(name, _)| format!("{name}.md")).collect()
}

/// The output of the check of links for a folder, and whether the check succeeded.
fn check_links(folder: &Path) -> (bool, String) {
    let output = Command::new(repository().join("docs/links.sh")).arg(folder).output().unwrap();
    (output.status.success(), text(&output.stdout))
}

#[test]
fn every_link_of_the_repository_leads_to_a_file_and_a_heading() {
    let (is_good, said) = check_links(&repository());
    assert!(is_good, "{said}");
}

#[test]
fn the_check_of_links_names_each_link_that_leads_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let page = "# One title\n[good](#one-title) [file](gone.md)\n```\n[code](is-not-read.md)\n```\n[heading](#none)\n<img src=\"x.png\">\n";
    std::fs::write(folder.path().join("a.md"), page).unwrap();
    let (is_good, said) = check_links(folder.path());
    assert!(!is_good);
    assert_eq!(said, "a.md:2: gone.md: no such file\na.md:6: #none: no such heading\na.md:7: x.png: no such file\n");
}

#[test]
fn every_example_of_the_guide_runs_as_it_is_shown_and_prints_what_is_promised() {
    let data = data_directory();
    let mut stack = Stack::start_on(data.path());
    until(|| has_worker(&stack.api).then_some(()));
    let pages = pages(&stack.api);
    let n_with_examples = pages.iter().filter(|page| run(page, &stack, data.path())).count();
    assert_eq!(n_with_examples, 12, "{pages:?}");
    stack.stop();
}
