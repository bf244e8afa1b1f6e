//! Reads certificates, including X.509 version 1, which the usual web libraries do not read.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::verify_server_name;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, PeerMisbehaved};
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, SubjectAltName};

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// A parsed certificate.
pub(super) struct Certificate(x509_cert::Certificate);

impl Certificate {
    pub(super) fn read(der: &CertificateDer<'_>) -> Result<Self, Error> {
        x509_cert::Certificate::from_der(der).map(Self).map_err(|_| CertificateError::BadEncoding.into())
    }

    pub(super) fn is_self_issued(&self) -> bool {
        self.0.tbs_certificate.subject == self.0.tbs_certificate.issuer
    }

    /// Whether the usual web libraries would refuse its form: it has no extensions, as in version 1, or it belongs to an
    /// authority and is not restricted to a purpose.
    pub(super) fn is_unread_by_the_webs_rules(&self) -> bool {
        let tbs = &self.0.tbs_certificate;
        let is_authority = || matches!(tbs.get::<BasicConstraints>(), Ok(Some((_, constraints))) if constraints.ca);
        let has_purpose = || !matches!(tbs.get::<ExtendedKeyUsage>(), Ok(None));
        tbs.extensions.as_ref().is_none_or(Vec::is_empty) || (is_authority() && !has_purpose())
    }

    pub(super) fn judge_time(&self, now: UnixTime) -> Result<(), Error> {
        let validity = &self.0.tbs_certificate.validity;
        if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
            return Err(CertificateError::NotValidYet.into());
        }
        if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
            return Err(CertificateError::Expired.into());
        }
        Ok(())
    }

    /// Whether the key of `signer` made this certificate's signature.
    pub(super) fn is_signed_by(&self, signer: &Self, algorithms: &[&dyn SignatureVerificationAlgorithm]) -> bool {
        let (signed, by) = (&self.0.tbs_certificate, &signer.0.tbs_certificate);
        let (Ok(message), Ok(of_key), Ok(of_signature), Some(signature)) = (
            signed.to_der(),
            by.subject_public_key_info.algorithm.to_der(),
            self.0.signature_algorithm.to_der(),
            self.0.signature.as_bytes(),
        ) else {
            return false;
        };
        let key = by.subject_public_key_info.subject_public_key.raw_bytes();
        let fits = |algorithm: &&&dyn SignatureVerificationAlgorithm| {
            content(&of_key) == algorithm.public_key_alg_id().as_ref()
                && content(&of_signature) == algorithm.signature_alg_id().as_ref()
        };
        let mut fitting = algorithms.iter().filter(fits);
        signed.issuer == by.subject && fitting.any(|algorithm| algorithm.verify_signature(key, &message, signature).is_ok())
    }

    /// Checks that it names the host: by its alternative names or, if it has none of a suitable kind, by its subject.
    pub(super) fn judge_name(&self, der: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), Error> {
        let names = self.alternative_names();
        let is_kind = |alternative: &GeneralName| match name {
            ServerName::IpAddress(_) => matches!(alternative, GeneralName::IpAddress(_) | GeneralName::DnsName(_)),
            _ => matches!(alternative, GeneralName::DnsName(_)),
        };
        if names.iter().any(is_kind) {
            return verify_server_name(&ParsedCertificate::try_from(der)?, name);
        }
        let host = name.to_str();
        let is_named = self.common_names().iter().any(|common| is_name_of(common, &host));
        if is_named { Ok(()) } else { Err(CertificateError::NotValidForName.into()) }
    }

    fn alternative_names(&self) -> Vec<GeneralName> {
        let found = self.0.tbs_certificate.get::<SubjectAltName>();
        found.ok().flatten().map(|(_, names)| names.0).unwrap_or_default()
    }

    fn common_names(&self) -> Vec<String> {
        let parts = self.0.tbs_certificate.subject.0.iter().flat_map(|part| part.0.iter());
        let names = parts.filter(|part| part.oid == COMMON_NAME);
        names.filter_map(|part| String::from_utf8(part.value.value().to_vec()).ok()).collect()
    }

    pub(super) fn key(&self) -> Result<SubjectPublicKeyInfoDer<'static>, Error> {
        let der = self.0.tbs_certificate.subject_public_key_info.to_der();
        der.map(SubjectPublicKeyInfoDer::from).map_err(|_| CertificateError::BadEncoding.into())
    }

    /// Checks that the certificate's key made a signature of TLS 1.2's handshake.
    pub(super) fn judge_signature(
        &self,
        message: &[u8],
        signature: &DigitallySignedStruct,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = &self.0.tbs_certificate.subject_public_key_info;
        let of_key = key.algorithm.to_der().map_err(|_| CertificateError::BadEncoding)?;
        let offered = algorithms.mapping.iter().find(|(scheme, _)| *scheme == signature.scheme);
        let (_, offered) = offered.ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        let bytes = key.subject_public_key.raw_bytes();
        let is_made = offered
            .iter()
            .filter(|algorithm| content(&of_key) == algorithm.public_key_alg_id().as_ref())
            .any(|algorithm| algorithm.verify_signature(bytes, message, signature.signature()).is_ok());
        if is_made { Ok(HandshakeSignatureValid::assertion()) } else { Err(CertificateError::BadSignature.into()) }
    }
}

/// An algorithm's identifier without its tag and length, which take two bytes for all algorithms that are known here.
fn content(der: &[u8]) -> &[u8] {
    der.get(2..).unwrap_or_default()
}

/// Compares a certificate's name with a host name. A star matches only the first part of the host name.
fn is_name_of(pattern: &str, host: &str) -> bool {
    let is_same = |a: &str, b: &str| !a.is_empty() && a.eq_ignore_ascii_case(b);
    match (pattern.strip_prefix("*."), host.split_once('.')) {
        (Some(rest), Some((_, of_host))) => rest.contains('.') && is_same(rest, of_host),
        (Some(_), None) => false,
        (None, _) => is_same(pattern, host),
    }
}

#[cfg(test)]
mod tests {
    use super::is_name_of;

    #[test]
    fn a_star_stands_for_one_part() {
        for (pattern, host, fits) in [
            ("db.example.org", "DB.example.org", true),
            ("*.example.org", "db.example.org", true),
            ("*.example.org", "a.db.example.org", false),
            ("*.example.org", "example.org", false),
            ("*.org", "example.org", false),
            ("*", "db", false),
            ("", "", false),
            ("localhost", "localhost", true),
            ("localhost", "127.0.0.1", false),
        ] {
            assert_eq!(is_name_of(pattern, host), fits, "{pattern} {host}");
        }
    }
}
