//! Checks a server's certificate as OpenSSL does it for libpq, which is less strict than web browsers.
//!
//! Beyond the web's rules it accepts: a certificate that is itself in the file of authorities (`openssl req -x509` makes it an
//! authority); a certificate without extensions, or one that could be an authority, if an authority of the file has signed it;
//! and a name that is only in the subject. With an `sslmode` below `verify-ca` nothing is checked, but the server must still have
//! the certificate's key.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::certificate::Certificate;
use crate::{Address, Error, Roots, TlsMode};

/// The TLS configuration for the servers of an address.
pub(super) fn client_config(address: &Address) -> Result<ClientConfig, Error> {
    let wrong = |error: &dyn std::error::Error| Error::Connect(crate::chain(error));
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?;
    let judge = Judge::new(address, provider)?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(judge));
    let Some((certificate, key)) = &address.certificate else { return Ok(builder.with_no_client_auth()) };
    let unread = |name: &'static str| move |error: rustls::pki_types::pem::Error| Error::Connect(format!("{name}: {error}"));
    let chain = CertificateDer::pem_file_iter(certificate).map_err(unread("sslcert"))?;
    let chain = chain.collect::<Result<Vec<_>, _>>().map_err(unread("sslcert"))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(unread("sslkey"))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| Error::Connect(format!("sslcert and sslkey: {error}")))
}

/// Checks a server's certificate.
#[derive(Debug)]
struct Judge {
    mode: TlsMode,
    /// The authorities, and the verifier of chains; none when nothing is checked.
    known: Option<(Vec<CertificateDer<'static>>, Arc<WebPkiServerVerifier>)>,
    provider: Arc<CryptoProvider>,
}

impl Judge {
    fn new(address: &Address, provider: Arc<CryptoProvider>) -> Result<Self, Error> {
        let mode = address.tls;
        if !matches!(mode, TlsMode::VerifyCa | TlsMode::VerifyFull) {
            return Ok(Self { mode, known: None, provider });
        }
        let authorities = authorities(&address.roots)?;
        let mut store = RootCertStore::empty();
        // Certificates that cannot be read as authorities are left out, because they cannot end a chain.
        store.add_parsable_certificates(authorities.iter().cloned());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider)).build();
        let verifier = verifier.map_err(|error| Error::Connect(format!("sslrootcert: {error}")))?;
        Ok(Self { mode, known: Some((authorities, verifier)), provider })
    }

    /// Checks that a known authority has signed the certificate.
    fn judge_chain(
        &self,
        der: &CertificateDer<'_>,
        certificate: &Certificate,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let Some((authorities, verifier)) = &self.known else { return Ok(()) };
        if certificate.is_self_issued() {
            let is_known = authorities.iter().any(|known| known == der);
            return if is_known { certificate.judge_time(now) } else { Err(CertificateError::UnknownIssuer.into()) };
        }
        if certificate.is_unread_by_the_webs_rules() {
            certificate.judge_time(now)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            let signers = authorities.iter().filter_map(|known| Certificate::read(known).ok());
            let is_signed = signers.into_iter().any(|signer| certificate.is_signed_by(&signer, algorithms));
            return if is_signed { Ok(()) } else { Err(CertificateError::UnknownIssuer.into()) };
        }
        match verifier.verify_server_cert(der, intermediates, name, &[], now) {
            // The verifier checks the chain before the name, so an error about the name means a good chain. `judge_name` checks
            // the name.
            Ok(_)
            | Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn authorities(roots: &Roots) -> Result<Vec<CertificateDer<'static>>, Error> {
    let Roots::File(file) = roots else { return Ok(rustls_native_certs::load_native_certs().certs) };
    let unread = |error: &dyn std::fmt::Display| Error::Connect(format!("sslrootcert {}: {error}", file.display()));
    let all = CertificateDer::pem_file_iter(file).map_err(|error| unread(&error))?;
    let all = all.collect::<Result<Vec<_>, _>>().map_err(|error| unread(&error))?;
    if all.is_empty() { Err(unread(&"it contains no certificate")) } else { Ok(all) }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.known.is_some() {
            let certificate = Certificate::read(end_entity)?;
            self.judge_chain(end_entity, &certificate, intermediates, server_name, now)?;
            if self.mode == TlsMode::VerifyFull {
                certificate.judge_name(end_entity, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Certificate::read(certificate)?.judge_signature(message, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let key = Certificate::read(certificate)?.key()?;
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature_with_raw_key(message, &key, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
