//! Where the object storage is, and with which credentials.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig,
};
use std::time::Duration;

use super::fault::Fault;
use super::upload::PART_BYTES;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit for a request and the head of its answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Time limit for a request that contains a part of a file. It allows for slow connections with 64 KiB a second.
const SEND_TIMEOUT: Duration = Duration::from_secs(READ_TIMEOUT.as_secs() + PART_BYTES as u64 / (64 * 1024));
/// Most storage systems other than Amazon's accept this name for any region.
const REGION_DEFAULT: &str = "us-east-1";

/// Object storage for the files of /f: Amazon S3 or any storage with the same protocol.
#[derive(clap::Args, Clone, Debug, Default)]
#[group(skip)]
#[command(next_help_heading = "Object storage")]
pub struct S3Config {
    /// Store the files of /f in this bucket instead of a folder. `asman blob init` creates and prepares it.
    #[arg(long, env = "ASMAN_S3_BUCKET", value_name = "NAME")]
    pub s3_bucket: Option<String>,
    /// Address of the storage for the API [default: Amazon's for the region].
    #[arg(long, env = "ASMAN_S3_ENDPOINT", value_name = "URL")]
    pub s3_endpoint: Option<String>,
    /// Address of the storage for clients and workers, if it differs.
    #[arg(long, env = "ASMAN_S3_PUBLIC_ENDPOINT", value_name = "URL")]
    pub s3_public_endpoint: Option<String>,
    /// Region of the bucket [default: the one of the AWS environment, else us-east-1].
    #[arg(long, env = "ASMAN_S3_REGION", value_name = "NAME")]
    pub s3_region: Option<String>,
    /// Name the bucket in the path instead of the host name, as most self-hosted storage requires.
    #[arg(long, env = "ASMAN_S3_PATH_STYLE", value_parser = clap::builder::FalseyValueParser::new())]
    pub s3_path_style: bool,
    /// Put this before the name of every object, such as `asman/`.
    #[arg(long, env = "ASMAN_S3_PREFIX", default_value = "", value_name = "TEXT")]
    pub s3_prefix: String,
    /// Access key [default: the one that AWS's own tools would use].
    #[arg(long, env = "ASMAN_S3_ACCESS_KEY_ID", hide_env_values = true, value_name = "ID")]
    pub s3_access_key_id: Option<String>,
    /// Secret of the access key. Every user of the machine can read the arguments of a process, so use the environment variable.
    #[arg(long, env = "ASMAN_S3_SECRET_ACCESS_KEY", hide_env_values = true, value_name = "SECRET")]
    pub s3_secret_access_key: Option<String>,
    /// Send all bytes through the API: for storage that clients cannot reach, or that does not check hashes.
    #[arg(long, env = "ASMAN_S3_PROXY", value_parser = clap::builder::FalseyValueParser::new())]
    pub s3_proxy: bool,
    /// When a file is asked for this long after it was stored or renewed, its lifetime starts again [default: 24h].
    #[arg(long, env = "ASMAN_S3_RENEW_AFTER", hide = true)]
    pub s3_renew_after: Option<protocol::Duration>,
}

impl S3Config {
    /// The same settings as environment variables, for a child process.
    pub fn to_environment(&self) -> Vec<(&'static str, String)> {
        let texts = [
            ("ASMAN_S3_BUCKET", self.s3_bucket.clone()),
            ("ASMAN_S3_ENDPOINT", self.s3_endpoint.clone()),
            ("ASMAN_S3_PUBLIC_ENDPOINT", self.s3_public_endpoint.clone()),
            ("ASMAN_S3_REGION", self.s3_region.clone()),
            ("ASMAN_S3_PATH_STYLE", self.s3_path_style.then(|| "1".to_owned())),
            ("ASMAN_S3_PREFIX", Some(self.s3_prefix.clone())),
            ("ASMAN_S3_ACCESS_KEY_ID", self.s3_access_key_id.clone()),
            ("ASMAN_S3_SECRET_ACCESS_KEY", self.s3_secret_access_key.clone()),
            ("ASMAN_S3_PROXY", self.s3_proxy.then(|| "1".to_owned())),
            ("ASMAN_S3_RENEW_AFTER", self.s3_renew_after.map(|after| after.to_string())),
        ];
        texts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// The two clients: the first talks to the storage, the second only signs addresses for others.
    pub(super) async fn clients(&self) -> Result<(Client, Client), Fault> {
        // A value that comes from a file often ends in a newline, which would become part of the signature.
        let text = |given: &Option<String>| given.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let keys = match (text(&self.s3_access_key_id), text(&self.s3_secret_access_key)) {
            (Some(id), Some(secret)) => Some(Credentials::new(id, secret, None, None, "flags")),
            (None, None) => None,
            _ => return Err(Fault::Setting("give both --s3-access-key-id and --s3-secret-access-key, or neither".to_owned())),
        };
        for address in [&self.s3_endpoint, &self.s3_public_endpoint].into_iter().flatten() {
            check_endpoint(address)?;
        }
        let mut loader = aws_config::from_env();
        if let Some(region) = &self.s3_region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(keys) = keys {
            loader = loader.credentials_provider(keys);
        }
        let found = loader.load().await;
        let region = found.region().cloned().unwrap_or(Region::from_static(REGION_DEFAULT));
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).build();
        let builder = |endpoint: Option<&String>| {
            let mut builder = aws_sdk_s3::config::Builder::from(&found)
                .region(region.clone())
                .force_path_style(self.s3_path_style)
                .timeout_config(timeouts.clone())
                // Older storage, and storage of other vendors, refuses these checksums. Where a hash matters, the request
                // contains it anyway.
                .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
                .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
                // The correction would fix this process's own requests, but not the addresses that it signs for others. If the
                // clock is wrong, the errors must stay visible.
                .disable_clock_skew_correction(true)
                // A client's connection may be slow. If the storage sends nothing, `IDLE_TIMEOUT` ends the download.
                .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
            if let Some(endpoint) = endpoint {
                builder = builder.endpoint_url(endpoint);
            }
            Client::from_conf(builder.build())
        };
        let own = self.s3_endpoint.as_ref();
        Ok((builder(own), builder(self.s3_public_endpoint.as_ref().or(own))))
    }
}

/// The settings of requests that contain a part of a file.
pub(super) fn while_sending() -> aws_sdk_s3::config::Builder {
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(SEND_TIMEOUT).build();
    aws_sdk_s3::config::Builder::new().timeout_config(timeouts)
}

fn check_endpoint(address: &str) -> Result<(), Fault> {
    let parsed = address.parse::<axum::http::Uri>().ok();
    let is_good = parsed.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
    if is_good {
        Ok(())
    } else {
        Err(Fault::Setting(format!("{address:?} is not an address of a storage; write it as https://s3.example")))
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use aws_sdk_s3::presigning::PresigningConfig;

    use super::*;

    #[tokio::test]
    async fn white_space_around_a_key_is_no_part_of_it() {
        let signed = async |id: &str, secret: &str| {
            let config = S3Config {
                s3_access_key_id: Some(id.to_owned()),
                s3_secret_access_key: Some(secret.to_owned()),
                s3_region: Some(REGION_DEFAULT.to_owned()),
                ..S3Config::default()
            };
            let (_, client) = config.clients().await.unwrap();
            let moment = PresigningConfig::builder().start_time(SystemTime::UNIX_EPOCH).expires_in(Duration::from_mins(1));
            let request = client.get_object().bucket("b").key("k").presigned(moment.build().unwrap()).await.unwrap();
            request.uri().to_owned()
        };
        assert_eq!(signed(" key\n", "secret\r\n").await, signed("key", "secret").await);
        assert_ne!(signed("key", "other").await, signed("key", "secret").await);
    }
}
