//! Rules of the kernel's packet filter for one bridge: they decide what its containers may reach.
//!
//! A worker has two chains, named after its data directory. `FORWARD` and the engine's [`USER_CHAINS`] jump to the first chain, for packets
//! that a container sends elsewhere. `INPUT` jumps to the second chain, for packets that a container sends to this machine. Only packets
//! from the bridge reach the chains. Each jump has a comment that names the worker as its [`Owner`]. All IPv6 of jobs is blocked: the
//! bridge has no IPv6, but a container might set up its own.
//!
//! The jumps from `FORWARD` and from the engine's chain are both necessary. When a network is made, the engine removes the jump to
//! `DOCKER-USER` and inserts it again (Docker 20.10: it was missing in 24 of 1,484 checks while 15 networks were made). When the engine
//! starts, it may insert rules that accept packets before ours in `FORWARD`. An installation replaces the old rules in one transaction of
//! the kernel for each family, so the rules are always complete.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use protocol::address::Range;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::addresses::guarded;
use super::destination::Destination;
use super::jumps::{Jump, ids_in, jumps_to};
use crate::owner::Owner;

/// Seconds that a call waits for the lock of another call.
const LOCK_SECONDS: &str = "10";
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Chains before the engine's rules, with the rule that leads to each: Docker's, and that of Podman's plugin.
const USER_CHAINS: [(&str, &[&str]); 2] = [
    ("DOCKER-USER", &["FORWARD", "-j", "DOCKER-USER"]),
    ("CNI-ADMIN", &["CNI-FORWARD", "-m", "comment", "--comment", "CNI firewall plugin admin overrides", "-j", "CNI-ADMIN"]),
];
/// Begins the comment of every jump. The owner follows.
const COMMENT: &str = "asman jobs";
/// Begins the comment of the jumps for builds. The time at which they expire follows.
const COMMENT_BUILDS: &str = "asman builds until ";
/// Folders where the programs may be, because the PATH of some users does not have them.
const FOLDERS: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];
/// Ports of SMTP: a machine that sends mail for strangers soon gets on every blocklist.
const MAIL_PORTS: &str = "25,465,587";
/// Refuses a packet with an error, so that a job does not wait for an answer.
const REFUSE: &str = "REJECT --reject-with icmp-admin-prohibited";

/// The rules of one worker.
#[derive(Clone, Debug)]
pub(crate) struct Firewall {
    /// Id of the worker: 12 hex digits.
    pub(crate) id: String,
    pub(crate) bridge: String,
    /// Comment of the jumps.
    comment: String,
    pub(crate) allowed: Vec<Destination>,
    /// Name servers, which jobs reach only on port 53.
    pub(crate) name_servers: Vec<std::net::Ipv4Addr>,
    /// Addresses behind the bridge to which the rules do not apply.
    pub(crate) exempt: Vec<std::net::Ipv4Addr>,
    /// Beginning of the names of the chains.
    kind: &'static str,
    /// Folder of the programs.
    folder: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn program(self) -> &'static str {
        match self {
            Self::V4 => "iptables",
            Self::V6 => "ip6tables",
        }
    }
}

impl Firewall {
    /// Finds the programs. Returns None when they are not installed.
    pub(crate) fn find(id: String, bridge: String, owner: Option<&Owner>) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders = std::env::split_paths(&path).chain(FOLDERS.map(PathBuf::from));
        let folder = folders.find(|folder| is_there(folder, Family::V4))?;
        let comment = owner.map_or_else(|| COMMENT.to_owned(), |owner| format!("{COMMENT} {owner}"));
        let (allowed, name_servers, exempt) = (Vec::new(), Vec::new(), Vec::new());
        Some(Self { id, bridge, comment, allowed, name_servers, exempt, kind: "ASMAN", folder })
    }

    /// The same rules for builds on a bridge that is not the worker's. They expire at the time `until` (UTC), so that a killed worker
    /// leaves no rules that block other containers.
    pub(crate) fn for_builds(&self, bridge: String, exempt: Vec<std::net::Ipv4Addr>, until: &str) -> Self {
        Self { bridge, exempt, comment: format!("{COMMENT_BUILDS}{until}"), kind: "ASMANB", ..self.clone() }
    }

    /// Sets the IPv4 rules and replaces older ones. The IPv6 rules are not needed here: `BuildKit` gives its steps no IPv6.
    pub(crate) async fn install_v4(&self) -> io::Result<()> {
        self.install_family(Family::V4).await
    }

    /// Sets all rules and replaces older ones.
    pub(crate) async fn install(&self) -> io::Result<()> {
        self.install_family(Family::V4).await?;
        if is_there(&self.folder, Family::V6)
            && let Err(error) = self.install_family(Family::V6).await
        {
            // The network has no IPv6, so these rules are only a second protection.
            tracing::debug!(%error, "cannot set rules for IPv6");
        }
        Ok(())
    }

    async fn install_family(&self, family: Family) -> io::Result<()> {
        self.restore(family, &self.script(family)).await?;
        for (parent, chain) in self.jumps(family).await {
            self.lead(family, parent, &chain).await?;
            // Remove the jumps of an earlier process of this worker.
            self.remove_jumps(family, &chain, |comment| comment != self.comment).await;
        }
        Ok(())
    }

    /// Makes the jump the first rule of `parent`, in one transaction, so that it comes before the engine's own rules for newer bridges.
    async fn lead(&self, family: Family, parent: &str, chain: &str) -> io::Result<()> {
        let jump: Vec<_> = self.jump(chain, &self.comment).iter().map(|word| format!("\"{word}\"")).collect();
        let jump = jump.join(" ");
        let old = if self.has_jump(family, parent, chain).await? { format!("-D {parent} {jump}\n") } else { String::new() };
        self.restore(family, &format!("*filter\n{old}-I {parent} 1 {jump}\nCOMMIT\n")).await
    }

    /// Whether all IPv4 rules are set and every IPv4 packet of the bridge still goes through them.
    pub(crate) async fn is_installed(&self) -> io::Result<bool> {
        let expected = self.script(Family::V4);
        for (parent, chain) in self.jumps(Family::V4).await {
            if !self.has_jump(Family::V4, parent, &chain).await? {
                return Ok(false);
            }
            let rule = format!("-A {chain} ");
            let n_rules = |text: &str| text.lines().filter(|line| line.starts_with(&rule)).count();
            let there = self.run(Family::V4.program(), &["-S", &chain], "").await?;
            if n_rules(&String::from_utf8_lossy(&there.stdout)) != n_rules(&expected) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Removes all rules that are set.
    pub(crate) async fn remove(&self) {
        for family in [Family::V4, Family::V6] {
            for direction in ["OUT", "HOST"] {
                let chain = self.chain(direction);
                self.remove_jumps(family, &chain, |_| true).await;
                let _ = self.call(family, &["-F", &chain]).await;
                let _ = self.call(family, &["-X", &chain]).await;
            }
        }
    }

    /// The rules of all workers of this machine, dead ones included, with their owners.
    pub(crate) async fn list() -> Vec<(Self, Option<Owner>)> {
        let Some(tool) = Self::find(String::new(), String::new(), None) else { return Vec::new() };
        let Ok(output) = tool.run(Family::V4.program(), &["-S"], "").await else { return Vec::new() };
        let listing = String::from_utf8_lossy(&output.stdout);
        let found = ids_in(&listing).into_iter();
        found
            .map(|(id, bridge)| {
                let firewall = Self { id, bridge, ..tool.clone() };
                let jumps = ["OUT", "HOST"].map(|direction| jumps_to(&listing, &firewall.chain(direction)));
                let owner = jumps.concat().iter().find_map(|jump| Owner::parse(jump.comment.strip_prefix(COMMENT)?.trim_start()));
                (firewall, owner)
            })
            .collect()
    }

    async fn remove_jumps(&self, family: Family, chain: &str, is_asked: impl Fn(&str) -> bool) {
        let Ok(output) = self.run(family.program(), &["-S"], "").await else { return };
        for Jump { parent, comment } in jumps_to(&String::from_utf8_lossy(&output.stdout), chain) {
            if is_asked(&comment) {
                let jump = self.jump(chain, &comment);
                let arguments: Vec<_> = ["-D", &parent].into_iter().chain(jump.iter().map(String::as_str)).collect();
                // Another process may have removed it already.
                let _ = self.call(family, &arguments).await;
            }
        }
    }

    /// The jumps from the system's chains to our chains.
    async fn jumps(&self, family: Family) -> Vec<(&'static str, String)> {
        let (out, host) = (self.chain("OUT"), self.chain("HOST"));
        let mut jumps = vec![("FORWARD", out.clone()), ("INPUT", host)];
        // Engines manage these chains for IPv6 only if they manage IPv6.
        for (chain, jump) in USER_CHAINS.iter().filter(|_| family == Family::V4) {
            let arguments: Vec<_> = ["-C"].iter().chain(*jump).copied().collect();
            // An earlier engine may have left the chain without the rule that leads to it. Then the chain is not used.
            if self.call(family, &arguments).await.is_ok() {
                jumps.insert(0, (*chain, out.clone()));
            }
        }
        jumps
    }

    fn chain(&self, direction: &str) -> String {
        format!("{}-{}-{direction}", self.kind, self.id)
    }

    fn jump(&self, chain: &str, comment: &str) -> Vec<String> {
        let mut words = vec!["-i", &self.bridge, "-m", "comment", "--comment", comment];
        if let Some(until) = comment.strip_prefix(COMMENT_BUILDS) {
            words.extend(["-m", "time", "--datestop", until]);
        }
        words.extend(["-j", chain]);
        words.into_iter().map(str::to_owned).collect()
    }

    async fn has_jump(&self, family: Family, parent: &str, chain: &str) -> io::Result<bool> {
        let mut arguments = vec!["-C", parent];
        let jump = self.jump(chain, &self.comment);
        arguments.extend(jump.iter().map(String::as_str));
        let output = self.run(family.program(), &arguments, "").await?;
        Ok(output.status.success())
    }

    /// Both chains in the form that `iptables-restore` reads. The first rule that matches decides.
    fn script(&self, family: Family) -> String {
        let (out, host) = (self.chain("OUT"), self.chain("HOST"));
        let rules = match family {
            Family::V4 => self.rules(&out, &host),
            Family::V6 => format!("-A {out} -j DROP\n-A {host} -j DROP\n"),
        };
        format!("*filter\n:{out} - [0:0]\n:{host} - [0:0]\n{rules}COMMIT\n")
    }

    fn rules(&self, out: &str, host: &str) -> String {
        let mut rules = String::new();
        for chain in [out, host] {
            // Packets of connections that another host opened, or that a rule below accepted.
            rules += &format!("-A {chain} -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN\n");
            for address in &self.exempt {
                rules += &format!("-A {chain} -s {address} -j RETURN\n");
            }
            if chain == out {
                // Jobs do not reach each other, even if the engine ignores the bridge's options.
                rules += &format!("-A {out} -o {} -j {REFUSE}\n", self.bridge);
            }
            for allowed in &self.allowed {
                let port = allowed.port.map(|port| format!(" -p tcp --dport {port}")).unwrap_or_default();
                rules += &format!("-A {chain} -d {}{port} -j RETURN\n", allowed.addresses());
            }
            for server in &self.name_servers {
                for protocol in ["udp", "tcp"] {
                    rules += &format!("-A {chain} -d {server} -p {protocol} --dport 53 -j RETURN\n");
                }
            }
        }
        rules += &format!("-A {out} -p tcp -m multiport --dports {MAIL_PORTS} -j {REFUSE}\n");
        for Range { network, bits } in guarded() {
            rules += &format!("-A {out} -d {network}/{bits} -j {REFUSE}\n");
        }
        rules + &format!("-A {host} -j {REFUSE}\n")
    }

    async fn restore(&self, family: Family, script: &str) -> io::Result<()> {
        let program = format!("{}-restore", family.program());
        checked(&self.run(&program, &["--noflush"], script).await?)
    }

    async fn call(&self, family: Family, arguments: &[&str]) -> io::Result<()> {
        checked(&self.run(family.program(), arguments, "").await?)
    }

    async fn run(&self, program: &str, arguments: &[&str], input: &str) -> io::Result<Output> {
        let mut command = Command::new(self.folder.join(program));
        command.args(["-w", LOCK_SECONDS]).args(arguments).kill_on_drop(true);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let talk = async {
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(input.as_bytes()).await?;
            }
            child.wait_with_output().await
        };
        let is_late = |_| io::Error::other(format!("{program} did not answer within {} s", CALL_TIMEOUT.as_secs()));
        tokio::time::timeout(CALL_TIMEOUT, talk).await.map_err(is_late)?
    }
}

fn is_there(folder: &Path, family: Family) -> bool {
    folder.join(family.program()).is_file() && folder.join(format!("{}-restore", family.program())).is_file()
}

fn checked(output: &Output) -> io::Result<()> {
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(said.lines().next().unwrap_or("it failed without a message").to_owned()))
}

#[cfg(test)]
mod tests;
