//! The meaning of each of libpq's parameters here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Address, AddressError, Host, Keepalive, Parameters, Roots, TlsMode, options, pass_file};

/// Parameters that have an effect, with the environment variable of each.
const HONOURED: [(&str, &str); 22] = [
    ("application_name", "PGAPPNAME"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("dbname", "PGDATABASE"),
    ("fallback_application_name", ""),
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("keepalives", ""),
    ("keepalives_count", ""),
    ("keepalives_idle", ""),
    ("keepalives_interval", ""),
    ("options", "PGOPTIONS"),
    ("passfile", "PGPASSFILE"),
    ("password", "PGPASSWORD"),
    ("port", "PGPORT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ("tcp_user_timeout", ""),
    ("user", "PGUSER"),
    // Both drivers always use UTF-8; see IRRELEVANT for other values.
    ("client_encoding", ""),
];

/// Parameters that may have only these values, because the connection always behaves in this way. An empty list means that
/// every value is accepted, because none changes anything.
const IRRELEVANT: [(&str, &[&str], &str); 17] = [
    ("channel_binding", &["disable", "prefer"], "leave it out"),
    ("client_encoding", &["utf8", "UTF8", "UTF-8", "utf-8", "auto", "unicode", "UNICODE"], "it is always UTF8"),
    ("gssdelegation", &["0"], "leave it out"),
    ("gssencmode", &["disable", "prefer"], "leave it out, and use sslmode"),
    ("gsslib", &[], ""),
    ("krbsrvname", &[], ""),
    ("load_balance_hosts", &["disable"], "hosts are tried in their order"),
    ("max_protocol_version", &[], ""),
    ("min_protocol_version", &["3.0"], "leave it out"),
    ("replication", &["0", "off", "no", "false"], "leave it out"),
    ("ssl_max_protocol_version", &["", "TLSv1.3"], "leave it out"),
    ("ssl_min_protocol_version", &["TLSv1", "TLSv1.1", "TLSv1.2"], "it is always TLSv1.2"),
    ("sslcertmode", &["allow", "disable"], "leave it out"),
    ("sslcompression", &["0"], "there is no compression"),
    ("sslnegotiation", &["postgres"], "leave it out"),
    ("sslsni", &["1"], "leave it out"),
    ("target_session_attrs", &["any", "read-write", "primary"], "this program writes"),
];

/// Parameters that require an unsupported check, or name files that are not read.
const REFUSED: [(&str, &str); 8] = [
    ("require_auth", "leave it out, or use sslmode=verify-full"),
    ("requirepeer", "leave it out"),
    ("service", "write the service's parameters themselves"),
    ("servicefile", "write the service's parameters themselves"),
    ("sslcrl", "leave it out"),
    ("sslcrldir", "leave it out"),
    ("sslkeylogfile", "leave it out"),
    ("sslpassword", "give a key without a password"),
];

/// Environment variables of parameters in the two lists above.
const JUDGED: [(&str, &str); 10] = [
    ("channel_binding", "PGCHANNELBINDING"),
    ("gssencmode", "PGGSSENCMODE"),
    ("require_auth", "PGREQUIREAUTH"),
    ("requirepeer", "PGREQUIREPEER"),
    ("service", "PGSERVICE"),
    ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    ("sslcrl", "PGSSLCRL"),
    ("sslcrldir", "PGSSLCRLDIR"),
    ("sslnegotiation", "PGSSLNEGOTIATION"),
];

/// Checks that each parameter is known and that its value is possible.
pub(super) fn check(given: &Parameters) -> Result<(), AddressError> {
    for (name, value) in given {
        let unsupported = |hint| {
            // Of these parameters, only `sslpassword` contains a secret.
            let value = if name == "sslpassword" { "…".to_owned() } else { value.clone() };
            Err(AddressError::Unsupported { name: name.clone(), value, hint })
        };
        if let Some((_, hint)) = REFUSED.iter().find(|(refused, _)| refused == name) {
            return unsupported(hint);
        }
        if let Some((_, values, hint)) = IRRELEVANT.iter().find(|(known, ..)| known == name) {
            if !values.is_empty() && !values.contains(&value.as_str()) {
                return unsupported(hint);
            }
        } else if !HONOURED.iter().any(|(known, _)| known == name) {
            return Err(AddressError::Unknown(name.clone()));
        }
    }
    Ok(())
}

/// The values from the environment.
pub(super) fn of_environment(environment: &impl Fn(&str) -> Option<String>) -> Parameters {
    let value_of = |(name, variable): &(&str, &str)| {
        let value = environment(variable).filter(|value| !variable.is_empty() && !value.is_empty())?;
        Some(((*name).to_owned(), value))
    };
    HONOURED.iter().chain(&JUDGED).filter_map(value_of).collect()
}

/// The address of the parameters. Missing parts have libpq's defaults.
pub(super) fn address(all: &Parameters, environment: &impl Fn(&str) -> Option<String>) -> Result<Address, AddressError> {
    let get = |name: &str| all.get(name).filter(|value| !value.is_empty()).cloned();
    let home = environment("HOME").map(PathBuf::from).unwrap_or_default();
    let Some(user) = get("user").or_else(|| os_user(environment)) else {
        return Err(AddressError::Value { name: "user", why: "it is missing; give one".to_owned() });
    };
    let database = get("dbname").unwrap_or_else(|| user.clone());
    if let (Some(value), Some(_), Some("verify-full")) = (get("hostaddr"), get("host"), get("sslmode").as_deref()) {
        let hint = "with sslmode=verify-full the name in `host` must lead to the server";
        return Err(AddressError::Unsupported { name: "hostaddr".to_owned(), value, hint });
    }
    let hosts = hosts(get("hostaddr").or_else(|| get("host")), get("port").as_deref())?;
    let pass_file = get("passfile").map_or_else(|| home.join(".pgpass"), PathBuf::from);
    let of_file = || hosts.first().and_then(|(host, port)| pass_file::password(&pass_file, host, *port, &database, &user));
    let password = get("password").or_else(of_file);
    options::settings(&get("options").unwrap_or_default())?;
    let (tls, roots) = tls(get("sslmode").as_deref(), get("sslrootcert"), &home)?;
    Ok(Address {
        password,
        tls,
        roots,
        certificate: certificate(get("sslcert"), get("sslkey"), &home)?,
        application_name: get("application_name").or_else(|| get("fallback_application_name")),
        options: get("options"),
        connect_timeout: number("connect_timeout", get("connect_timeout"))?.map(|n| Duration::from_secs(u64::from(n.max(2)))),
        keepalive: Keepalive {
            is_on: get("keepalives").is_none_or(|value| value.trim() != "0"),
            idle: number("keepalives_idle", get("keepalives_idle"))?.map(|n| Duration::from_secs(n.into())),
            interval: number("keepalives_interval", get("keepalives_interval"))?.map(|n| Duration::from_secs(n.into())),
            count: number("keepalives_count", get("keepalives_count"))?,
            user_timeout: number("tcp_user_timeout", get("tcp_user_timeout"))?.map(|n| Duration::from_millis(n.into())),
        },
        hosts,
        user,
        database,
    })
}

fn os_user(environment: &impl Fn(&str) -> Option<String>) -> Option<String> {
    environment("USER").or_else(|| environment("LOGNAME")).filter(|user| !user.is_empty())
}

fn hosts(hosts: Option<String>, ports: Option<&str>) -> Result<Vec<(Host, u16)>, AddressError> {
    let hosts = hosts.unwrap_or_else(default_host);
    let hosts: Vec<&str> = hosts.split(',').map(str::trim).collect();
    let ports = ports.map(|ports| ports.split(',').map(port).collect::<Result<Vec<_>, _>>()).transpose()?.unwrap_or(vec![5432]);
    if ports.len() != 1 && ports.len() != hosts.len() {
        let why = format!("{} ports for {} hosts", ports.len(), hosts.len());
        return Err(AddressError::Value { name: "port", why });
    }
    let port_of = |n: usize| ports.get(n).or(ports.first()).copied().unwrap_or(5432);
    Ok(hosts.iter().enumerate().map(|(n, host)| (host_of(host), port_of(n))).collect())
}

fn host_of(text: &str) -> Host {
    if text.starts_with('/') { Host::Socket(PathBuf::from(text)) } else { Host::Name(text.to_owned()) }
}

/// The folder in which common distributions have the server's socket; `localhost` if there is none.
fn default_host() -> String {
    let places = ["/var/run/postgresql", "/run/postgresql", "/tmp"];
    let has_socket = |place: &&&str| Path::new(place).join(".s.PGSQL.5432").exists();
    places.iter().find(has_socket).map_or_else(|| "localhost".to_owned(), |place| (*place).to_owned())
}

fn port(text: &str) -> Result<u16, AddressError> {
    let text = text.trim();
    let wrong = |_| AddressError::Value { name: "port", why: format!("`{text}` is not a number from 1 to 65535") };
    if text.is_empty() { Ok(5432) } else { text.parse().map_err(wrong) }
}

/// Reads a number. Zero or less gives none: the default, or no limit for `connect_timeout`.
fn number(name: &'static str, text: Option<String>) -> Result<Option<u32>, AddressError> {
    let Some(text) = text else { return Ok(None) };
    let wrong = |_| AddressError::Value { name, why: format!("`{text}` is not a whole number") };
    let number = text.trim().parse::<i32>().map_err(wrong)?;
    Ok(u32::try_from(number).ok().filter(|number| *number > 0))
}

/// The mode and the authorities. `require` with a file of authorities checks the certificate, as libpq does for compatibility.
fn tls(mode: Option<&str>, roots: Option<String>, home: &Path) -> Result<(TlsMode, Roots), AddressError> {
    let of_system = roots.as_deref() == Some("system");
    let mode = match mode.unwrap_or(if of_system { "verify-full" } else { "prefer" }) {
        "disable" => TlsMode::Disable,
        "allow" => TlsMode::Allow,
        "prefer" => TlsMode::Prefer,
        "require" => TlsMode::Require,
        "verify-ca" => TlsMode::VerifyCa,
        "verify-full" => TlsMode::VerifyFull,
        other => {
            let why = format!("`{other}` is not one of disable, allow, prefer, require, verify-ca, verify-full");
            return Err(AddressError::Value { name: "sslmode", why });
        }
    };
    if of_system {
        let why = "sslrootcert=system needs sslmode=verify-full".to_owned();
        return if mode == TlsMode::VerifyFull {
            Ok((mode, Roots::System))
        } else {
            Err(AddressError::Value { name: "sslmode", why })
        };
    }
    let own = home.join(".postgresql/root.crt");
    let file = roots.map(PathBuf::from).or_else(|| own.is_file().then_some(own));
    let judges = matches!(mode, TlsMode::VerifyCa | TlsMode::VerifyFull) || (mode == TlsMode::Require && file.is_some());
    if let Some(file) = file.as_ref().filter(|file| judges && !file.is_file()) {
        let why = format!("there is no file {}", file.display());
        return Err(AddressError::Value { name: "sslrootcert", why });
    }
    if mode == TlsMode::VerifyCa && file.is_none() {
        // verify-ca does not compare the name of the host, so with the authorities of the system every public certificate would do.
        let why = "verify-ca needs the file of its authorities in sslrootcert; or use verify-full".to_owned();
        return Err(AddressError::Value { name: "sslmode", why });
    }
    let mode = if judges && mode == TlsMode::Require { TlsMode::VerifyCa } else { mode };
    Ok((mode, file.map_or(Roots::System, Roots::File)))
}

fn certificate(
    certificate: Option<String>,
    key: Option<String>,
    home: &Path,
) -> Result<Option<(PathBuf, PathBuf)>, AddressError> {
    let own = |name: &str| home.join(".postgresql").join(name);
    let is_given = certificate.is_some();
    let certificate = certificate.map_or_else(|| own("postgresql.crt"), PathBuf::from);
    let key = key.map_or_else(|| own("postgresql.key"), PathBuf::from);
    match (certificate.is_file(), key.is_file()) {
        (true, true) => Ok(Some((certificate, key))),
        (false, _) if !is_given => Ok(None),
        (false, _) => Err(AddressError::Value { name: "sslcert", why: format!("there is no file {}", certificate.display()) }),
        (true, false) => Err(AddressError::Value { name: "sslkey", why: format!("there is no file {}", key.display()) }),
    }
}
