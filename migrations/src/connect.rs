//! One connection for migrations, with what its address asks for.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{Address, Error, Host, Roots, TlsMode};

/// Connects. `sslmode=allow` encrypts where the server refuses us in the clear.
pub async fn connect(database_url: &str) -> Result<Client, Error> {
    let address = Address::read(database_url)?;
    if address.tls == TlsMode::Allow {
        let clear = Address { tls: TlsMode::Disable, ..address.clone() };
        let refused = match connect_as(&clear).await {
            Err(Error::Connect(refused)) => refused,
            other => return other,
        };
        let encrypted = Address { tls: TlsMode::Require, ..address };
        return connect_as(&encrypted).await.map_err(|_| Error::Connect(refused));
    }
    connect_as(&address).await
}

async fn connect_as(address: &Address) -> Result<Client, Error> {
    let config = config(address);
    let failed = |error: tokio_postgres::Error| Error::Connect(crate::chain(&error));
    let is_local = address.hosts.iter().all(|(host, _)| matches!(host, Host::Socket(_)));
    if is_local || address.tls == TlsMode::Disable {
        let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
        drive(connection);
        return Ok(client);
    }
    let (client, connection) = config.connect(tls(address)?).await.map_err(failed)?;
    drive(connection);
    Ok(client)
}

fn config(address: &Address) -> Config {
    let mut config = Config::new();
    config.user(&address.user).dbname(&address.database);
    for (host, port) in &address.hosts {
        match host {
            Host::Socket(folder) => config.host_path(folder),
            Host::Name(name) => config.host(name),
        };
        config.port(*port);
    }
    if address.hosts.len() > 1 {
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
    config.ssl_mode(match address.tls {
        TlsMode::Disable | TlsMode::Allow => SslMode::Disable,
        TlsMode::Prefer => SslMode::Prefer,
        TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
    });
    let _ = address.password.as_ref().map(|password| config.password(password));
    config.application_name(address.application_name.as_deref().unwrap_or("asman migrate"));
    let _ = address.options.as_ref().map(|options| config.options(options));
    let _ = address.connect_timeout.map(|timeout| config.connect_timeout(timeout));
    config
}

fn drive(connection: impl Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static) {
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = crate::chain(&error), "the connection for migrations ended");
        }
    });
}

fn tls(address: &Address) -> Result<MakeRustlsConnect, Error> {
    let wrong = |error: &dyn std::error::Error| Error::Connect(crate::chain(error));
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?;
    let builder = match address.tls {
        TlsMode::VerifyFull => builder.with_root_certificates(roots(&address.roots)?),
        mode => {
            let chain = match mode {
                TlsMode::VerifyCa => {
                    let roots = Arc::new(roots(&address.roots)?);
                    let built = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
                    Some(built.map_err(|error| wrong(&error))?)
                }
                _ => None,
            };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName { chain, provider }))
        }
    };
    let Some((certificate, key)) = &address.certificate else {
        return Ok(MakeRustlsConnect::new(builder.with_no_client_auth()));
    };
    let unread = |name: &'static str| move |error: rustls::pki_types::pem::Error| Error::Connect(format!("{name}: {error}"));
    let chain = CertificateDer::pem_file_iter(certificate).map_err(unread("sslcert"))?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(unread("sslcert"))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(unread("sslkey"))?;
    Ok(MakeRustlsConnect::new(builder.with_client_auth_cert(chain, key).map_err(|error| wrong(&error))?))
}

fn roots(roots: &Roots) -> Result<RootCertStore, Error> {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::System => {
            for certificate in rustls_native_certs::load_native_certs().certs {
                // A certificate of the machine that rustls cannot read is one that it would not have trusted.
                let _ = store.add(certificate);
            }
        }
        Roots::File(file) => {
            let unread = |error: &dyn std::fmt::Display| Error::Connect(format!("sslrootcert {}: {error}", file.display()));
            for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unread(&error))? {
                store.add(certificate.map_err(|error| unread(&error))?).map_err(|error| unread(&error))?;
            }
        }
    }
    Ok(store)
}

/// Judges a certificate without its name (`verify-ca`), or not at all.
#[derive(Debug)]
struct AnyName {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The chain is judged before the name is.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            judged => judged,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
