//! What can be wrong with an object storage. Each problem is one sentence with its fix.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

/// Messages about a wrong clock that come with unspecific codes.
const OF_CLOCKS: [&str; 4] = ["Date is too old", "Date is in the future", "Request has expired", "Signature expired"];

/// Why the storage refused or failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// The settings contradict themselves.
    #[error("{0}")]
    Setting(String),
    /// The storage does not answer, or not in time.
    #[error("no object storage answers at the configured address ({0}); check --s3-endpoint and the network")]
    Unreachable(String),
    /// No credentials were found where AWS's tools look.
    #[error("there are no credentials for the object storage; give --s3-access-key-id and --s3-secret-access-key")]
    NoCredentials,
    /// The key or the secret is wrong, or the key has no right to do this.
    #[error("the object storage refuses the credentials ({0}); check the access key, its secret and its rights on the bucket")]
    Credentials(String),
    /// The credentials have expired.
    #[error("the credentials for the object storage have expired ({0}); renew them")]
    Expired(String),
    /// This machine's clock or the storage's is wrong.
    #[error("this machine's clock and the object storage's differ too much ({0}); set the clock, by NTP for example")]
    ClockSkew(String),
    /// The bucket does not exist.
    #[error("the bucket does not exist at the object storage; create it with `asman blob init`")]
    NoBucket,
    /// The bucket is in another region.
    #[error("the bucket is in another region ({0}); set --s3-region")]
    Region(String),
    /// Any other error of the storage.
    #[error("the object storage failed: {0}")]
    Other(String),
}

impl Fault {
    /// Classifies an error of the SDK.
    pub(super) fn of<E: ProvideErrorMetadata + std::error::Error + 'static>(error: &SdkError<E, HttpResponse>) -> Self {
        let Some(service) = error.as_service_error() else { return Self::of_transport(error) };
        let status = error.raw_response().map_or(0, |response| response.status().as_u16());
        let code = service.code().unwrap_or_default();
        let message = service.message().unwrap_or_default();
        let said = if code.is_empty() { format!("status {status}") } else { code.to_owned() };
        match code {
            "RequestTimeTooSkewed" | "RequestExpired" => Self::ClockSkew(said),
            _ if OF_CLOCKS.iter().any(|part| message.contains(part)) => Self::ClockSkew(said),
            "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => Self::Expired(said),
            // For keys that can expire, only the message distinguishes an expired key from a wrong one.
            "AccessDenied" if message.contains("key") && message.contains("expired") => Self::Expired(said),
            "NoSuchBucket" => Self::NoBucket,
            "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => Self::Region(said),
            "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "AccessDenied" | "InvalidToken" | "AllAccessDisabled" => {
                Self::Credentials(said)
            }
            _ if matches!(status, 401 | 403) => Self::Credentials(said),
            _ if matches!(status, 301 | 307) => Self::Region(said),
            _ => Self::Other(if message.is_empty() { said } else { format!("{said}: {message}") }),
        }
    }

    /// The code of a permanent refusal: this storage, with its present setup, does not accept such a request. None for temporary
    /// errors, and for problems with this API's own access.
    pub(super) fn refusal<E: ProvideErrorMetadata + std::error::Error + 'static>(
        error: &SdkError<E, HttpResponse>,
    ) -> Option<String> {
        let status = error.raw_response()?.status().as_u16();
        let code = error.as_service_error()?.code().unwrap_or("no code");
        // The storage answers broken bodies and races with statuses that otherwise mean a permanent refusal.
        let is_passing = matches!(code, "RequestTimeout" | "IncompleteBody" | "BadDigest" | "OperationAborted" | "NoSuchUpload");
        let is_final = match Self::of(error) {
            Self::Other(_) => matches!(status, 400 | 402 | 405 | 406 | 411..=413 | 415..=417 | 422 | 501),
            Self::Credentials(_) => matches!(code, "AccessDenied" | "AllAccessDisabled"),
            _ => false,
        };
        (is_final && !is_passing).then(|| code.to_owned())
    }

    fn of_transport<E: std::error::Error + 'static>(error: &SdkError<E, HttpResponse>) -> Self {
        let text = DisplayErrorContext(error).to_string();
        if text.contains("credentials") {
            return Self::NoCredentials;
        }
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        match error {
            SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => {
                Self::Unreachable(cause.to_string())
            }
            _ => Self::Other(cause.to_string()),
        }
    }
}
