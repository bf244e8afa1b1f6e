//! Two API processes behind a proxy are replaced one after the other, and no request fails.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::support::house::{free_port, test_database};
use crate::support::{data_directory, until};
use crate::{Api, definition, on};

/// nginx with the settings of `docs/operations.md`. It is ended when dropped.
struct Proxy {
    folder: TempDir,
    process: Child,
    url: String,
}

impl Proxy {
    fn start(ports: [u16; 2]) -> Self {
        let (folder, port) = (data_directory(), free_port());
        let path = folder.path().display();
        let servers = ports.map(|port| format!("server 127.0.0.1:{port} max_fails=0;")).join(" ");
        let settings = format!(
            "daemon off; worker_processes 1; pid {path}/pid; error_log {path}/error.log; events {{ worker_connections 256; }}\n\
             http {{ access_log off; client_body_temp_path {path}/a; proxy_temp_path {path}/b; fastcgi_temp_path {path}/c;\n\
             uwsgi_temp_path {path}/d; scgi_temp_path {path}/e; upstream apis {{ {servers} keepalive 8; }}\n\
             server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://apis; proxy_http_version 1.1;\n\
             proxy_set_header Connection \"\"; }} }} }}\n"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, settings).unwrap();
        let mut command = Command::new("/usr/sbin/nginx");
        command.arg("-c").arg(&file).arg("-p").arg(folder.path()).stdin(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("nginx is here: ./x test installs it");
        let url = format!("http://127.0.0.1:{port}");
        until(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(()));
        Self { folder, process, url }
    }

    /// nginx's log lines about servers that did not answer.
    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&self.process), Signal::TERM);
        let _ = self.process.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_behind_a_proxy_refuses_nobody() {
    let database = tokio::task::spawn_blocking(test_database).await.unwrap();
    on(&database, &["db", "migrate"]).unwrap();
    let blobs = data_directory();
    let ports = [free_port(), free_port()];
    let start = |port| Api::start_at(port, &database, blobs.path(), &["--stop-delay", "1s"]);
    let mut apis = ports.map(|port| Some(start(port)));
    let proxy = Proxy::start(ports);
    let is_over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let (is_over, url) = (Arc::clone(&is_over), proxy.url.clone());
            tokio::spawn(async move {
                let (http, mut answers) = (reqwest::Client::new(), Vec::new());
                while !is_over.load(Ordering::Relaxed) || answers.len() < 40 {
                    let n = client * 100_000 + u32::try_from(answers.len()).unwrap();
                    let sent = http.post(format!("{url}/q/q")).json(&json!({"definition": definition(n)})).send().await;
                    answers.push(match sent {
                        Ok(response) => (response.status().as_u16(), response.text().await.unwrap_or_default()),
                        Err(error) => (0, error.to_string()),
                    });
                }
                answers
            })
        })
        .collect();
    for (n, port) in ports.into_iter().enumerate() {
        let mut old = apis[n].take().unwrap();
        tokio::task::block_in_place(|| {
            old.process.signal(Signal::TERM);
            let status = old.process.wait();
            assert_eq!(status.code(), Some(0), "{:?}", old.process.said);
            assert!(!old.process.said.iter().any(|line| line.contains("closed pool")), "{:?}", old.process.said);
            apis[n] = Some(start(port));
        });
    }
    is_over.store(true, Ordering::Relaxed);
    let mut answers = Vec::new();
    for client in clients {
        answers.extend(client.await.unwrap());
    }
    let refused: Vec<_> = answers.iter().filter(|(status, _)| *status != 200).collect();
    assert!(answers.len() > 150 && refused.is_empty(), "of {} were refused: {refused:?}; nginx: {}", answers.len(), proxy.log());
}
