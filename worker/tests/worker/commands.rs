//! Command lines, from the definition to the program in the container.

use serde_json::json;

use crate::harness::{IMAGE, TestWorker};

#[tokio::test]
async fn variables_of_the_definition_are_put_into_its_command_and_others_left_to_the_container() {
    let worker = TestWorker::start().await;
    let env = json!({ "GREETING": "hello you", "NAME": "a$b" });
    for (command, said) in [
        ("echo $GREETING ${NAME}! '$NAME'", "hello you a$b! $NAME\n"),
        (r#"sh -c "echo $JOB_OUTPUTS $GREETING""#, "/outputs hello you\n"),
        ("sh -c 'echo $GREETING; echo \"$1\"' x '  two  words '", "hello you\n  two  words \n"),
        ("echo $NONE *", "*\n"),
    ] {
        let (job, finish) = worker.run(&json!({ "image": IMAGE, "command": command, "env": env })).await;
        assert_eq!((worker.api.text(&job, false).as_str(), finish.result.status_code), (said, Some(0)), "{command}");
    }
    worker.drain().await;
}

#[tokio::test]
async fn a_shell_as_the_entrypoint_gets_its_script_whole() {
    let worker = TestWorker::start().await;
    for (command, said) in [("ls /inputs/*", "/inputs/b\n"), ("A=1; echo $A | cat", "1\n"), ("echo '$FOO'", "")] {
        let definition = json!({
            "image": IMAGE, "entrypoint": "/bin/sh -c", "command": command, "env": { "FOO": "x" }, "workdir": "/tmp/made",
            "inputs": { "b": { "value": "" } },
        });
        let (job, finish) = worker.run(&definition).await;
        assert_eq!(finish.result.status_code, Some(0), "{command}");
        // In the last case the command becomes two words, and the shell takes the first one, `echo`, as its script.
        assert_eq!(worker.api.text(&job, false).trim_end_matches('\n'), said.trim_end_matches('\n'), "{command}");
    }
    worker.drain().await;
}
