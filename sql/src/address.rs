//! An address as sqlx takes it.

use migrations::{Address, Host, Keepalive, TlsMode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::Result;
use crate::relay::Relay;

/// A server that the driver can connect to.
#[derive(Debug)]
pub(crate) struct Place {
    /// How the driver gets there.
    pub(crate) options: PgConnectOptions,
    /// What leads it there; none where the driver does the same by itself.
    _relay: Option<Relay>,
}

/// The address's servers, in their order.
pub(crate) fn places(address: &Address) -> Result<Vec<Place>> {
    address.hosts.iter().map(|(host, port)| place(address, host, *port)).collect()
}

fn place(address: &Address, host: &Host, port: u16) -> Result<Place> {
    let options = options(address).port(port);
    match host {
        Host::Socket(folder) => Ok(Place { options: options.socket(folder), _relay: None }),
        Host::Name(name) if address.tls == TlsMode::Disable && address.keepalive == Keepalive::default() => {
            Ok(Place { options: options.host(name), _relay: None })
        }
        Host::Name(_) => {
            let relay = Relay::new(address, host, port)?;
            Ok(Place { options: options.socket(relay.folder()), _relay: Some(relay) })
        }
    }
}

/// All but the server.
fn options(address: &Address) -> PgConnectOptions {
    let options = PgConnectOptions::new_without_pgpass()
        .username(&address.user)
        .password(address.password.as_deref().unwrap_or_default())
        .database(&address.database)
        .application_name(address.application_name.as_deref().unwrap_or("asman"))
        // The server's own default is exact, and poolers refuse a parameter that they do not know.
        .extra_float_digits(None)
        // The dialer encrypts.
        .ssl_mode(PgSslMode::Disable);
    let settings = address.settings();
    // Poolers refuse this parameter, too.
    if settings.is_empty() { options } else { options.options(settings) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_part_of_an_address_reaches_the_driver() {
        let text = "postgres://a:p@h:6432/d?sslmode=disable&application_name=x&options=-c%20geqo%3Doff";
        let place = &places(&Address::read(text).unwrap()).unwrap()[0];
        let options = &place.options;
        assert_eq!((options.get_host(), options.get_port(), options.get_username()), ("h", 6432, "a"));
        assert_eq!((options.get_database(), options.get_application_name()), (Some("d"), Some("x")));
        assert!(options.get_options().is_some_and(|options| options.contains("geqo=off")), "{options:?}");
    }
}
