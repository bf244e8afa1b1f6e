//! Cleans up environment variables, such as values that end in the newline of `cat token`.
//!
//! This happens in one place, because many parts read them: the command line, the worker, the clients of HTTP and of S3. White
//! space around a value is never intended, and neither is a proxy for requests to this machine itself. A process cannot safely
//! change its own environment, so it starts the same program again with a clean one.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Prefixes of the variables that this program reads.
const PREFIXES: [&str; 5] = ["ASMAN_", "AWS_", "DOCKER_", "METAPAGE_IO_", "SQL_QUEUE_"];
/// Full names, in upper or lower case.
const NAMES: [&str; 6] = ["DATABASE_URL", "DATABASE_LISTEN_URL", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"];

/// Hosts that are never reached through a proxy, for every client that reads `NO_PROXY`.
const DIRECT: [&str; 3] = ["localhost", "127.0.0.0/8", "::1"];

/// Continues at once if the environment is clean; otherwise the process starts again.
pub(crate) fn tidy() -> io::Result<()> {
    let mut changes: Vec<_> =
        std::env::vars_os().filter_map(|(name, value)| Some((name.clone(), tidied(&name, &value)?))).collect();
    let direct = direct_hosts(|name| std::env::var(name).ok());
    changes.extend(direct.iter().flat_map(|list| ["NO_PROXY", "no_proxy"].map(|name| (name.into(), list.into()))));
    if changes.is_empty() {
        return Ok(());
    }
    let mut arguments = std::env::args_os();
    let mut command = Command::new(std::env::current_exe()?);
    command.arg0(arguments.next().unwrap_or_else(|| OsString::from("asman"))).args(arguments);
    for (name, value) in changes {
        // Only white space: it counts as not set.
        if value.is_empty() {
            command.env_remove(name)
        } else {
            command.env(name, value)
        };
    }
    Err(command.exec())
}

/// The trimmed value; none when nothing has to change.
fn tidied(name: &OsStr, value: &OsStr) -> Option<OsString> {
    let name = name.to_str()?;
    let is_ours =
        PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.iter().any(|own| own.eq_ignore_ascii_case(name));
    let trimmed = value.as_bytes().trim_ascii();
    (is_ours && trimmed.len() < value.len()).then(|| OsString::from_vec(trimmed.to_vec()))
}

/// `NO_PROXY` with this machine added; none when it contains it already, or no proxy is set.
fn direct_hosts(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let value = |name: &str| variable(name).or_else(|| variable(&name.to_lowercase())).filter(|value| !value.trim().is_empty());
    ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].into_iter().find_map(value)?;
    let known = value("NO_PROXY").unwrap_or_default();
    let listed: Vec<&str> = known.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect();
    if DIRECT.iter().all(|own| listed.contains(own)) {
        return None;
    }
    Some(listed.into_iter().chain(DIRECT).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_around_our_settings_goes_and_nobody_elses_is_touched() {
        let tidied =
            |name: &str, value: &str| tidied(OsStr::new(name), OsStr::new(value)).map(|value| value.into_string().unwrap());
        assert_eq!(tidied("ASMAN_TOKEN", "abc\r\n"), Some("abc".to_owned()));
        assert_eq!(tidied("https_proxy", " http://proxy:3128"), Some("http://proxy:3128".to_owned()));
        assert_eq!(tidied("ASMAN_WORKER_TOKEN", "\n"), Some(String::new()));
        for (name, value) in [("ASMAN_TOKEN", "abc"), ("ASMAN_TOKEN", ""), ("PGPASSWORD", "abc "), ("PATH", "/bin ")] {
            assert_eq!(tidied(name, value), None, "{name}");
        }
    }

    #[test]
    fn with_a_proxy_this_machine_is_reached_without_it() {
        let direct = |variables: &[(&str, &str)]| {
            direct_hosts(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
        };
        let list = direct(&[("https_proxy", "http://proxy"), ("NO_PROXY", "lab.example, localhost")]).unwrap();
        assert_eq!(list, "lab.example,localhost,localhost,127.0.0.0/8,::1");
        assert_eq!(direct(&[("https_proxy", "http://proxy"), ("NO_PROXY", &list)]), None, "once");
        assert_eq!(direct(&[("NO_PROXY", "lab.example")]), None);
    }
}
