//! An address as sqlx takes it.

use base64::Engine;
use migrations::{Address, Host, Roots, TlsMode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// Options for each of the address's hosts.
pub(crate) fn options(address: &Address) -> Vec<PgConnectOptions> {
    address.hosts.iter().map(|(host, port)| options_of(address, host, *port)).collect()
}

fn options_of(address: &Address, host: &Host, port: u16) -> PgConnectOptions {
    let mut options = PgConnectOptions::new_without_pgpass()
        .port(port)
        .username(&address.user)
        .password(address.password.as_deref().unwrap_or_default())
        .database(&address.database)
        .application_name(address.application_name.as_deref().unwrap_or("asman"))
        // The server's own default is exact, and poolers refuse a parameter that they do not know.
        .extra_float_digits(None);
    options = match host {
        Host::Socket(folder) => options.socket(folder),
        Host::Name(name) => options.host(name),
    };
    if let Some(text) = &address.options {
        options = options.options(settings_in(text));
    }
    options = options.ssl_mode(match address.tls {
        TlsMode::Disable => PgSslMode::Disable,
        TlsMode::Allow => PgSslMode::Allow,
        TlsMode::Prefer => PgSslMode::Prefer,
        TlsMode::Require => PgSslMode::Require,
        TlsMode::VerifyCa => PgSslMode::VerifyCa,
        TlsMode::VerifyFull => PgSslMode::VerifyFull,
    });
    if matches!(address.tls, TlsMode::VerifyCa | TlsMode::VerifyFull) {
        options = match &address.roots {
            Roots::File(file) => options.ssl_root_cert(file),
            Roots::System => options.ssl_root_cert_from_pem(machine_roots()),
        };
    }
    match &address.certificate {
        Some((certificate, key)) => options.ssl_client_cert(certificate).ssl_client_key(key),
        None => options,
    }
}

/// The settings in `-c name=value --name=value`, where a backslash takes the next character as it is.
fn settings_in(text: &str) -> Vec<(String, String)> {
    let mut words = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => words.last_mut().map_or((), |word| word.extend(characters.next())),
            _ if character.is_whitespace() => words.push(String::new()),
            _ => words.last_mut().map_or((), |word| word.push(character)),
        }
    }
    let words = words.iter().map(|word| word.trim_start_matches("-c").trim_start_matches("--"));
    words.filter_map(|word| word.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The machine's authorities as one file would hold them.
fn machine_roots() -> Vec<u8> {
    let mut pem = String::new();
    for certificate in rustls_native_certs::load_native_certs().certs {
        let text = base64::engine::general_purpose::STANDARD.encode(&certificate);
        pem += &format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    }
    pem.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_server_are_read_one_by_one() {
        let settings = settings_in("-c work_mem=8MB --search_path=a,b  -c application_name=my\\ name -cgeqo=off");
        let expected = [("work_mem", "8MB"), ("search_path", "a,b"), ("application_name", "my name"), ("geqo", "off")];
        assert_eq!(settings, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn every_part_of_an_address_reaches_the_driver() {
        let address =
            Address::read("postgres://a:p@h:6432/d?sslmode=require&application_name=x&options=-c%20geqo%3Doff").unwrap();
        let options = &options(&address)[0];
        assert_eq!((options.get_host(), options.get_port(), options.get_username()), ("h", 6432, "a"));
        assert_eq!((options.get_database(), options.get_application_name()), (Some("d"), Some("x")));
        assert!(options.get_options().is_some_and(|options| options.contains("geqo=off")), "{options:?}");
    }
}
