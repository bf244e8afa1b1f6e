//! One connection for migrations, with all settings of its address.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::error::Severity;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};

use crate::dial::Dialer;
use crate::{Address, Error, Host};

/// Bytes that are buffered between the driver and the connection.
const PIPE: usize = 64 * 1024;

/// Connects to the first server of the address that answers; if there are several, to the first that accepts writes.
pub async fn connect(database_url: &str) -> Result<Client, Error> {
    let address = Address::read(database_url)?;
    let dialer = Arc::new(Dialer::new(&address)?);
    let mut failed = Error::Connect("the address names no server".to_owned());
    for (host, port) in &address.hosts {
        match connect_to(&address, Arc::clone(&dialer), host, *port).await {
            Ok(client) if address.hosts.len() == 1 => return Ok(client),
            Ok(client) => match may_write(&client).await {
                Ok(true) => return Ok(client),
                Ok(false) => failed = Error::Connect("none of the servers accepts writes".to_owned()),
                Err(error) => failed = Error::Connect(crate::chain(&error)),
            },
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

async fn connect_to(address: &Address, dialer: Arc<Dialer>, host: &Host, port: u16) -> Result<Client, Error> {
    let (near, far) = tokio::io::duplex(PIPE);
    let server = host.clone();
    tokio::spawn(async move { dialer.serve(far, &server, port).await });
    let config = config(address);
    let connecting = config.connect_raw(near, NoTls);
    // The dialer applies this timeout up to the server's first answer. Here it also covers the rest of the login.
    let timeout = address.connect_timeout.unwrap_or(Duration::MAX);
    let connected = tokio::time::timeout(timeout, connecting).await;
    let connected = connected.map_err(|_| Error::Connect("no answer within `connect_timeout`".to_owned()))?;
    let (client, connection) = connected.map_err(|error| Error::Connect(crate::chain(&error)))?;
    tokio::spawn(drive(connection));
    Ok(client)
}

/// Runs the connection to its end, and logs the server's warnings, in which a procedure reports what it left undone.
async fn drive<S>(mut connection: tokio_postgres::Connection<S, NoTlsStream>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            Ok(AsyncMessage::Notice(notice)) if notice.parsed_severity() == Some(Severity::Warning) => {
                tracing::warn!("{}", notice.message());
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(error = crate::chain(&error), "the connection for migrations ended");
                return;
            }
        }
    }
}

fn config(address: &Address) -> Config {
    let mut config = Config::new();
    config.user(&address.user).dbname(&address.database);
    let _ = address.password.as_ref().map(|password| config.password(password));
    config.application_name(address.application_name.as_deref().unwrap_or("asman migrate"));
    let _ = address.options.as_ref().map(|options| config.options(options));
    // The driver connects without TLS, because the dialer applies the address's settings.
    config.ssl_mode(tokio_postgres::config::SslMode::Disable);
    config
}

async fn may_write(client: &Client) -> Result<bool, tokio_postgres::Error> {
    let shown = client.simple_query("show transaction_read_only").await?;
    Ok(crate::first_column(&shown).next() == Some("off"))
}
