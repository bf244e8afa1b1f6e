//! The existing client of the task-queue API, rebuilt in its own language, Python.

use std::process::Stdio;

use crate::test_api::{TestApi, in_time};

#[tokio::test]
async fn an_existing_python_client_works_unchanged() {
    let api = TestApi::with(|config| config.task_queue_name = Some("tasks".parse().unwrap())).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/task_queue/client.py");
    let python = tokio::process::Command::new("python3").arg(script).arg(&api.url).stdout(Stdio::piped()).output();
    let output = in_time(python).await.expect("python3 is needed for this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "all is well");
}
