//! Every example runs by the command that its README shows, and prints what the README says.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::path::Path;
use std::process::{Command, Output};

use support::{Stack, repository, text};
use tempfile::TempDir;

/// Runs the first `sh` block of an example's README in a folder that looks like the repository's root.
fn run(stack: &Stack, example: &str) -> (Output, TempDir) {
    let readme = std::fs::read_to_string(repository().join("examples").join(example).join("README.md")).unwrap();
    let command = readme.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(repository().join("examples"), folder.path().join("examples")).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_asman")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).env("PATH", path).env("ASMAN_API", &stack.api).current_dir(folder.path());
    let output = shell.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{example}: {output:?}");
    (output, folder)
}

fn read(folder: &TempDir, name: &str) -> String {
    std::fs::read_to_string(folder.path().join("results").join(name)).unwrap()
}

#[test]
fn the_examples_do_what_their_readmes_say() {
    let mut stack = Stack::start();

    let (output, folder) = run(&stack, "words");
    assert!(text(&output.stderr).ends_with("873 words, 262 different\n"), "{output:?}");
    assert_eq!(text(&output.stdout), "results/words.csv\n");
    let words = read(&folder, "words.csv");
    assert!(words.starts_with("word,count\nthe,") && words.lines().count() == 263, "{words}");

    let (output, folder) = run(&stack, "sales");
    let table = read(&folder, "by-shop.csv");
    assert!(table.starts_with("shop,sales,sum,mean\nharbour,95,1662.00,17.49\n") && table.lines().count() == 6, "{table}");
    assert!(text(&output.stderr).contains("tower,34,570.40,16.78"), "{output:?}");

    let (output, folder) = run(&stack, "progress");
    assert_eq!(read(&folder, "pi.txt"), "pi is about 3.1415927\n");
    let log = text(&output.stderr);
    assert!(log.contains("100 %") && log.contains("pi is about 3.1415927"), "{log}");

    stack.stop();
}
