//! Name servers of jobs.
//!
//! The engine's resolver has the address 127.0.0.11 in every container of a network. It asks the machine's name servers *from within the
//! container's network*, so a private name server needs a rule that allows it. A runtime with its own network stack does not see that
//! resolver, so its containers get a `resolv.conf` with the name servers themselves.

use std::net::{IpAddr, Ipv4Addr};

use super::addresses::is_public;

/// Files with the machine's name servers. The second is for machines whose first file names a resolver on the machine itself.
const LISTS: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
/// Name servers for jobs of strangers when the machine has no public one: those of Cloudflare and Quad9.
const PUBLIC: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1)), IpAddr::V4(Ipv4Addr::new(9, 9, 9, 9))];

/// Name servers of jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolvers {
    /// Name servers that are reached from a job's network.
    pub(crate) servers: Vec<IpAddr>,
    /// The engine must be told these servers, because it would use others.
    pub(crate) is_own_choice: bool,
}

impl Resolvers {
    pub(crate) fn choose(wanted: &[IpAddr], is_untrusted: bool) -> Self {
        let texts = LISTS.map(|path| std::fs::read_to_string(path).unwrap_or_default());
        Self::choose_from(wanted, is_untrusted, &texts)
    }

    fn choose_from(wanted: &[IpAddr], is_untrusted: bool, lists: &[String]) -> Self {
        if !wanted.is_empty() {
            return Self { servers: wanted.to_vec(), is_own_choice: true };
        }
        let of_machine = lists.iter().map(|text| servers_in(text)).find(|servers| !servers.is_empty()).unwrap_or_default();
        if !is_untrusted {
            return Self { servers: of_machine, is_own_choice: false };
        }
        let servers: Vec<_> = of_machine.into_iter().filter(is_public).collect();
        Self { servers: if servers.is_empty() { PUBLIC.to_vec() } else { servers }, is_own_choice: true }
    }

    /// A `resolv.conf` for containers that cannot use the engine's resolver.
    pub(crate) fn file(&self) -> String {
        let servers = if self.servers.is_empty() { &PUBLIC[..] } else { &self.servers };
        servers.iter().fold(String::new(), |file, server| file + &format!("nameserver {server}\n"))
    }
}

/// The servers in a `resolv.conf` that a container can reach: those with IPv4 addresses, except on the machine's loopback.
fn servers_in(text: &str) -> Vec<IpAddr> {
    let words = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver")).map(str::trim);
    words.filter_map(|word| word.parse().ok()).filter(|server: &IpAddr| server.is_ipv4() && !server.is_loopback()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(wanted: &[&str], is_untrusted: bool, lists: [&str; 2]) -> (Vec<String>, bool) {
        let wanted: Vec<_> = wanted.iter().map(|text| text.parse().unwrap()).collect();
        let chosen = Resolvers::choose_from(&wanted, is_untrusted, &lists.map(str::to_owned));
        (chosen.servers.iter().map(IpAddr::to_string).collect(), chosen.is_own_choice)
    }

    #[test]
    fn the_machines_name_servers_are_used_unless_jobs_cannot_reach_them() {
        let stub = ["nameserver 127.0.0.53\noptions edns0", "nameserver 10.0.0.2\nnameserver 8.8.8.8\n"];
        assert_eq!(choose(&[], false, stub), (vec!["10.0.0.2".to_owned(), "8.8.8.8".to_owned()], false));
        assert_eq!(choose(&[], true, stub), (vec!["8.8.8.8".to_owned()], true));
        assert_eq!(choose(&["10.1.1.1"], true, stub), (vec!["10.1.1.1".to_owned()], true));
        let private = ["nameserver 192.168.1.1", ""];
        assert_eq!(choose(&[], true, private), (vec!["1.1.1.1".to_owned(), "9.9.9.9".to_owned()], true));
    }
}
