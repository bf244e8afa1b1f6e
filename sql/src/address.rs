//! Converts an address into the form that sqlx accepts.

use migrations::{Address, Host, Keepalive, TlsMode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::Result;
use crate::relay::Relay;

/// A server that the driver can connect to.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// The options with which the driver connects to it.
    pub(crate) options: PgConnectOptions,
    /// The relay to the server; none if the driver can connect by itself.
    _relay: Option<Relay>,
}

/// The address's servers, in their order.
pub(crate) fn endpoints(address: &Address) -> Result<Vec<Endpoint>> {
    address.hosts.iter().map(|(host, port)| endpoint(address, host, *port)).collect()
}

fn endpoint(address: &Address, host: &Host, port: u16) -> Result<Endpoint> {
    let options = options(address).port(port);
    match host {
        Host::Socket(folder) => Ok(Endpoint { options: options.socket(folder), _relay: None }),
        Host::Name(name) if address.tls == TlsMode::Disable && address.keepalive == Keepalive::default() => {
            Ok(Endpoint { options: options.host(name), _relay: None })
        }
        Host::Name(_) => {
            let relay = Relay::new(address, host, port)?;
            Ok(Endpoint { options: options.socket(relay.folder()), _relay: Some(relay) })
        }
    }
}

/// All options except the server.
fn options(address: &Address) -> PgConnectOptions {
    let options = PgConnectOptions::new_without_pgpass()
        .username(&address.user)
        .password(address.password.as_deref().unwrap_or_default())
        .database(&address.database)
        .application_name(address.application_name.as_deref().unwrap_or("asman"))
        // The server's default prints floats exactly, and poolers refuse parameters that they do not know.
        .extra_float_digits(None)
        // The dialer encrypts.
        .ssl_mode(PgSslMode::Disable);
    let settings = address.settings();
    // Poolers also refuse this parameter.
    if settings.is_empty() { options } else { options.options(settings) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_part_of_an_address_reaches_the_driver() {
        let text = "postgres://a:p@h:6432/d?sslmode=disable&application_name=x&options=-c%20geqo%3Doff";
        let endpoint = &endpoints(&Address::read(text).unwrap()).unwrap()[0];
        let options = &endpoint.options;
        assert_eq!((options.get_host(), options.get_port(), options.get_username()), ("h", 6432, "a"));
        assert_eq!((options.get_database(), options.get_application_name()), (Some("d"), Some("x")));
        assert!(options.get_options().is_some_and(|options| options.contains("geqo=off")), "{options:?}");
    }
}
