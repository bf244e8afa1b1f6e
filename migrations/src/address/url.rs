//! The form `postgres://user:password@host:port,host:port/database?name=value&…`.

use super::{AddressError, Parameters};

/// The parameters that a URL gives.
pub(super) fn parameters(text: &str) -> Result<Parameters, AddressError> {
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').map_or((login, None), |(user, password)| (user, Some(password)));
    let mut found = Parameters::new();
    let mut put = |name: &str, value: &str| -> Result<(), AddressError> {
        if !value.is_empty() {
            found.insert(name.to_owned(), decode(value)?);
        }
        Ok(())
    };
    put("user", user)?;
    put("password", password.unwrap_or_default())?;
    put("dbname", database)?;
    let hosts: Vec<(&str, &str)> = hosts.split(',').map(host_and_port).collect();
    put("host", &hosts.iter().map(|host| host.0).collect::<Vec<_>>().join(","))?;
    if hosts.iter().any(|host| !host.1.is_empty()) {
        put("port", &hosts.iter().map(|host| host.1).collect::<Vec<_>>().join(","))?;
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(AddressError::Form("a parameter after the ? has no ="))?;
        found.insert(decode(name)?, decode(value)?);
    }
    // Drivers of other languages have this parameter.
    if found.get("ssl").is_some_and(|value| value == "true") {
        found.remove("ssl");
        found.insert("sslmode".to_owned(), "require".to_owned());
    }
    Ok(found)
}

/// Splits a host from its port. An IPv6 address is in brackets, because it contains colons.
fn host_and_port(text: &str) -> (&str, &str) {
    if let Some((host, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        return (host, rest.trim_start_matches(':'));
    }
    text.rsplit_once(':').unwrap_or((text, ""))
}

fn decode(text: &str) -> Result<String, AddressError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|byte| *byte != 0);
        bytes.push(byte.ok_or(AddressError::Form("a % is not followed by two hexadecimal digits; write %25 for a % itself"))?);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).map_err(|_| AddressError::Form("its percent-encoded bytes are not UTF-8"))
}
