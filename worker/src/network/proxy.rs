//! Which proxy a request goes through, from the environment: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, in capital or small
//! letters.
//!
//! Invariant: requests to this machine never go through a proxy. A proxy on another machine would connect to its own loopback address
//! instead of ours.

use std::net::IpAddr;
use std::sync::Arc;

use reqwest::{ClientBuilder, Proxy, Url};

/// The proxies of this process.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    http: Option<Setting>,
    https: Option<Setting>,
    /// Entries of `NO_PROXY`.
    direct: Vec<String>,
}

/// A proxy, and the variable that names it.
#[derive(Clone, Debug)]
struct Setting {
    variable: String,
    address: Url,
}

impl Setting {
    /// The proxy's address without its password.
    fn describe(&self) -> String {
        let mut address = self.address.clone();
        let _ = address.set_username("").and_then(|()| address.set_password(None));
        format!("{} ({})", address.as_str().trim_end_matches('/'), self.variable)
    }
}

impl Proxies {
    /// The proxies of the environment.
    pub fn of_environment() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let value = |name: &str| {
            let names = [name.to_owned(), name.to_ascii_lowercase()];
            names.into_iter().find_map(|name| Some((variable(&name).filter(|value| !value.trim().is_empty())?, name)))
        };
        let setting = |name: &str| {
            let (value, variable) = value(name)?;
            let value = value.trim();
            let value = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
            Some(Setting { variable, address: Url::parse(&value).ok()? })
        };
        // In a CGI program, which has REQUEST_METHOD, the client can set HTTP_PROXY through a header.
        let http = if variable("REQUEST_METHOD").is_some() { None } else { setting("HTTP_PROXY") };
        let direct = value("NO_PROXY").map(|(list, _)| list).unwrap_or_default();
        Self {
            http: http.or_else(|| setting("ALL_PROXY")),
            https: setting("HTTPS_PROXY").or_else(|| setting("ALL_PROXY")),
            direct: direct.split(',').map(|entry| entry.trim().to_ascii_lowercase()).filter(|entry| !entry.is_empty()).collect(),
        }
    }

    fn setting_for(&self, url: &Url) -> Option<&Setting> {
        let host = url.host_str()?.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
        if is_this_machine(&host) || self.direct.iter().any(|entry| names(entry, &host, url.port_or_known_default())) {
            return None;
        }
        if url.scheme() == "https" { self.https.as_ref() } else { self.http.as_ref() }
    }

    /// The proxy for an address and the variable that names it, as words for a message.
    pub fn on_the_way_to(&self, url: &Url) -> Option<String> {
        self.setting_for(url).map(Setting::describe)
    }

    /// All proxies that are set, each as words for a message.
    pub fn all(&self) -> Vec<String> {
        let mut all: Vec<_> = self.http.iter().chain(&self.https).map(Setting::describe).collect();
        all.dedup();
        all
    }

    /// Makes a client use these proxies and no others.
    pub fn apply(&self, builder: ClientBuilder) -> ClientBuilder {
        let own = Arc::new(self.clone());
        let way = move |url: &Url| own.setting_for(url).map(|setting| setting.address.clone());
        builder.no_proxy().proxy(Proxy::custom(way))
    }
}

fn is_this_machine(host: &str) -> bool {
    let is_name = host == "localhost" || host.ends_with(".localhost");
    is_name || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback() || address.is_unspecified())
}

/// Whether an entry of `NO_PROXY` matches a host. An entry is `*`, an address, a network, or a name, which also matches its subdomains. An
/// entry with a port matches only that port.
fn names(entry: &str, host: &str, port: Option<u16>) -> bool {
    if entry == "*" {
        return true;
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        let (network, length) = entry.split_once('/').unwrap_or((entry, ""));
        if let Ok(network) = network.trim_matches(['[', ']']).parse::<IpAddr>() {
            return is_within(address, network, length.parse().ok());
        }
    }
    let (name, wanted) = match entry.rsplit_once(':') {
        Some((name, wanted)) if wanted.parse::<u16>().is_ok() && !name.contains(':') => (name, wanted.parse().ok()),
        _ => (entry, None),
    };
    let name = name.trim_start_matches("*.").trim_start_matches('.');
    let is_named = host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
    is_named && (wanted.is_none() || wanted == port)
}

fn is_within(address: IpAddr, network: IpAddr, length: Option<u32>) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let shift = 32_u32.saturating_sub(length.unwrap_or(32));
            (address.to_bits() ^ network.to_bits()).checked_shr(shift).unwrap_or(0) == 0
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let shift = 128_u32.saturating_sub(length.unwrap_or(128));
            (address.to_bits() ^ network.to_bits()).checked_shr(shift).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        Proxies::read(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    fn way(proxies: &Proxies, url: &str) -> Option<String> {
        proxies.on_the_way_to(&url.parse().unwrap())
    }

    #[test]
    fn this_machine_is_never_reached_through_a_proxy() {
        let proxies = proxies(&[("ALL_PROXY", "http://me:secret@proxy:3128")]);
        for url in [
            "http://localhost:8000",
            "http://LOCALHOST./",
            "https://127.0.0.1",
            "http://127.1.2.3:9/x",
            "http://[::1]:8000",
            "http://app.localhost",
            "http://[::ffff:127.0.0.1]/",
            "http://0.0.0.0:8000",
        ] {
            assert_eq!(way(&proxies, url), None, "{url}");
        }
        assert_eq!(way(&proxies, "http://queue.example").unwrap(), "http://proxy:3128 (ALL_PROXY)", "without the password");
        assert_eq!(way(&proxies, "http://127.0.0.1.example/").unwrap(), "http://proxy:3128 (ALL_PROXY)");
    }

    #[test]
    fn variables_mean_what_they_mean_elsewhere() {
        let set = proxies(&[
            ("http_proxy", "plain:1\n"),
            ("HTTPS_PROXY", "http://secure:2"),
            ("NO_PROXY", " .lab.example, 10.0.0.0/8,direct:8080 ,2001:db8::/32"),
        ]);
        assert_eq!(way(&set, "http://queue.example").unwrap(), "http://plain:1 (http_proxy)");
        assert_eq!(way(&set, "https://queue.example").unwrap(), "http://secure:2 (HTTPS_PROXY)");
        for url in
            ["https://lab.example", "http://a.b.lab.example", "http://10.9.8.7", "http://direct:8080", "http://[2001:db8::1]"]
        {
            assert_eq!(way(&set, url), None, "{url}");
        }
        for url in ["https://notlab.example", "http://11.0.0.1", "http://direct:81", "http://[2001:db9::1]"] {
            assert!(way(&set, url).is_some(), "{url}");
        }
        assert_eq!(way(&proxies(&[("HTTP_PROXY", "x"), ("NO_PROXY", "*")]), "http://a"), None);
        assert_eq!(way(&proxies(&[("HTTP_PROXY", "x"), ("REQUEST_METHOD", "GET")]), "http://a"), None);
        assert_eq!(proxies(&[("ALL_PROXY", "http://one")]).all(), ["http://one (ALL_PROXY)"]);
    }
}
