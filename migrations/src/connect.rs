//! One connection for migrations, with TLS where the URL asks for it or the server is remote.

use std::sync::Arc;

use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::Error;

/// Connects. Certificates are judged by the machine's own roots; `sslmode=disable` or a unix socket means no TLS.
pub async fn connect(database_url: &str) -> Result<Client, Error> {
    // The URL holds a password, so an error says what is wrong and not where.
    let config: Config = database_url.parse().map_err(|_| Error::Connect("its URL cannot be read".to_owned()))?;
    let is_local = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
    let failed = |error: tokio_postgres::Error| Error::Connect(crate::chain(&error));
    if is_local || config.get_ssl_mode() == SslMode::Disable {
        let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
        drive(connection);
        return Ok(client);
    }
    let (client, connection) = config.connect(tls()?).await.map_err(failed)?;
    drive(connection);
    Ok(client)
}

fn drive(connection: impl Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static) {
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = crate::chain(&error), "the connection for migrations ended");
        }
    });
}

fn tls() -> Result<MakeRustlsConnect, Error> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in rustls_native_certs::load_native_certs().certs {
        // A certificate of the machine that rustls cannot read is one that it would not have trusted.
        let _ = roots.add(certificate);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Connect(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
