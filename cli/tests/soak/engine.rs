//! The test's own engine, and what remains in it at the end.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::house::IMAGE;
use crate::support::{text, until};

/// The engine. It is ended when dropped.
pub struct Engine {
    child: Child,
    folder: PathBuf,
}

impl Engine {
    /// Starts an engine over the folder and waits until it answers at `DOCKER_HOST`.
    pub fn start(folder: &Path) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("dockerd.log")).unwrap();
        let mut command = Command::new("dockerd");
        command.arg("--host").arg(address(folder)).arg("--data-root").arg(folder.join("engine/root"));
        command.arg("--exec-root").arg(folder.join("engine/exec")).arg("--pidfile").arg(folder.join("engine.pid"));
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let engine = Self { child: command.spawn().unwrap(), folder: folder.to_owned() };
        until(|| Command::new("docker").arg("version").output().unwrap().status.success().then_some(()));
        engine
    }

    /// Restarts the engine as an operator does. Its containers end with it.
    pub fn restart(&mut self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
        until(|| self.child.try_wait().unwrap());
        let folder = self.folder.clone();
        *self = Self::start(&folder);
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed()).unwrap()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = kill_process(self.pid(), Signal::TERM);
            let _ = self.child.wait();
        }
    }
}

/// Where the engine of a folder answers.
pub fn address(folder: &Path) -> String {
    format!("unix://{}", folder.join("engine.sock").display())
}

/// The output lines of a program, sorted.
fn said(program: &str, line: &str) -> Vec<String> {
    let output = Command::new(program).args(line.split(' ')).output().unwrap();
    assert!(output.status.success(), "{program} {line}: {}", text(&output.stderr));
    let mut lines: Vec<_> = text(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

/// The name of a layer that the engine finishes after the build's worker or connection has gone, so that no worker learns of it.
const UNTOLD: &str = "<none>:<none>";

/// What workers that have ended left in the engine and in the packet filter, one sentence for each thing. Built images are meant to
/// stay, and each trouble during a build may leave one layer of which no worker learned.
pub fn left_behind(n_builds: usize, n_troubles: usize) -> Vec<String> {
    let mut left = Vec::new();
    let mut expect = |what: &str, found: Vec<String>, expected: &[&str]| {
        if found != expected {
            left.push(format!("{what}: {found:?}"));
        }
    };
    expect("containers", said("docker", "ps -aq"), &[]);
    expect("volumes", said("docker", "volume ls -q"), &[]);
    expect("networks", said("docker", "network ls --format {{.Name}}"), &["bridge", "host", "none"]);
    let images = said("docker", "images --format {{.Repository}}:{{.Tag}}");
    let (built, mut others): (Vec<_>, Vec<_>) = images.into_iter().partition(|name| name.starts_with("asman/build:"));
    let n_untold = others.iter().filter(|name| *name == UNTOLD).count();
    if n_untold <= n_troubles.min(n_builds) {
        others.retain(|name| name != UNTOLD);
    }
    expect("images", others, &[IMAGE]);
    for (program, table) in [("iptables", "filter"), ("iptables", "nat"), ("ip6tables", "filter")] {
        let rules = said(program, &format!("-w -t {table} -S"));
        let ours = rules.into_iter().filter(|rule| rule.to_lowercase().contains("asman")).collect();
        expect(&format!("rules of {program}, {table}"), ours, &[]);
    }
    if built.len() != n_builds {
        left.push(format!("{} built images of {n_builds} builds", built.len()));
    }
    left
}
