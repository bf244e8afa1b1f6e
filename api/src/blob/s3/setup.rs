//! Prepares a bucket, for `asman blob init`. Each step can be repeated and reports what it did.
//!
//! Rules that other programs set on the same bucket stay, because only rules with our names are replaced.

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, BucketLocationConstraint, CorsConfiguration, CorsRule,
    CreateBucketConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
};
use serde::Serialize;

use super::fault::Fault;
use super::{S3, S3Config};

/// Files are kept as long as results.
const KEEP_DAYS: i32 = 28;
const ABORT_DAYS: i32 = 1;
const RULE_FILES: &str = "asman-files";
const RULE_UPLOADS: &str = "asman-uploads";
const RULE_CORS: &str = "asman";
const PROBE: &[u8] = b"asman: a probe of uploads";

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Done {
    /// Nothing had to change.
    Kept,
    /// The step changed something.
    Changed,
    /// The storage refused the step.
    Refused,
}

/// One step and its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SetupStep {
    /// `bucket`, `cors`, `lifecycle`, `uploads` or `hashes`.
    pub name: &'static str,
    /// How it ended.
    pub done: Done,
    /// One sentence.
    pub text: String,
}

/// Creates the bucket if it is missing, opens it to web pages, sets the expiry, and tests whether it accepts files and checks
/// hashes.
pub async fn set_up_blobs(config: &S3Config) -> Vec<SetupStep> {
    let s3 = match open(config).await {
        Ok(s3) => s3,
        Err(fault) => return vec![refused("bucket", &fault)],
    };
    let bucket = s3.make_bucket(config).await;
    let is_usable = bucket.done != Done::Refused;
    let mut steps = vec![bucket];
    if is_usable {
        steps.push(s3.open_to_pages().await.unwrap_or_else(|fault| refused("cors", &fault)));
        steps.push(s3.let_expire().await.unwrap_or_else(|fault| refused("lifecycle", &fault)));
        steps.push(s3.probe_uploads().await.unwrap_or_else(|fault| refused("uploads", &fault)));
        steps.push(s3.probe_hashes().await.unwrap_or_else(|fault| refused("hashes", &fault)));
    }
    steps
}

/// Whether the bucket can be used; if not, one sentence says why.
pub async fn check_blobs(config: &S3Config) -> Result<(), String> {
    let s3 = open(config).await.map_err(|fault| fault.to_string())?;
    s3.list().await.map_err(|fault| fault.to_string())
}

async fn open(config: &S3Config) -> Result<S3, Fault> {
    let bucket =
        config.s3_bucket.as_ref().ok_or_else(|| Fault::Setting("no bucket is configured; give --s3-bucket".to_owned()))?;
    S3::new(config, bucket).await
}

fn step(name: &'static str, done: Done, text: &str) -> SetupStep {
    SetupStep { name, done, text: text.to_owned() }
}

fn refused(name: &'static str, fault: &Fault) -> SetupStep {
    step(name, Done::Refused, &fault.to_string())
}

impl S3 {
    async fn make_bucket(&self, config: &S3Config) -> SetupStep {
        match self.list().await {
            Ok(()) => step("bucket", Done::Kept, "the bucket exists"),
            Err(Fault::NoBucket) => match self.create_bucket(config).await {
                Ok(()) => step("bucket", Done::Changed, "made"),
                Err(fault) => refused("bucket", &fault),
            },
            Err(fault) => refused("bucket", &fault),
        }
    }

    async fn create_bucket(&self, config: &S3Config) -> Result<(), Fault> {
        let region = self.client.config().region().map(ToString::to_string).unwrap_or_default();
        let mut create = self.client.create_bucket().bucket(&self.bucket);
        // Amazon requires the name of every region except its first. Other storage accepts at most the name of its own region.
        if config.s3_endpoint.is_none() && region != "us-east-1" {
            let place = BucketLocationConstraint::from(region.as_str());
            create = create.create_bucket_configuration(CreateBucketConfiguration::builder().location_constraint(place).build());
        }
        create.send().await.map(|_| ()).map_err(|error| Fault::of(&error))
    }

    async fn open_to_pages(&self) -> Result<SetupStep, Fault> {
        let rule = CorsRule::builder()
            .id(RULE_CORS)
            .allowed_origins("*")
            .set_allowed_methods(Some(["GET", "PUT", "HEAD"].map(str::to_owned).to_vec()))
            .allowed_headers("*")
            .set_expose_headers(Some(["ETag", "Content-Range", "Content-Length"].map(str::to_owned).to_vec()))
            .max_age_seconds(3600)
            .build()
            .map_err(|error| Fault::Other(error.to_string()))?;
        let there = match self.client.get_bucket_cors().bucket(&self.bucket).send().await {
            Ok(found) => found.cors_rules.unwrap_or_default(),
            Err(error) if is_none(&error) => Vec::new(),
            Err(error) => return Err(Fault::of(&error)),
        };
        if there.contains(&rule) {
            return Ok(step("cors", Done::Kept, "web pages may read and send files already"));
        }
        let mut rules: Vec<_> = there.into_iter().filter(|other| other.id() != Some(RULE_CORS)).collect();
        rules.push(rule);
        let all = CorsConfiguration::builder().set_cors_rules(Some(rules)).build();
        let all = all.map_err(|error| Fault::Other(error.to_string()))?;
        let put = self.client.put_bucket_cors().bucket(&self.bucket).cors_configuration(all).send().await;
        put.map_err(|error| Fault::of(&error))?;
        Ok(step("cors", Done::Changed, "web pages of any origin may GET, PUT and HEAD"))
    }

    async fn let_expire(&self) -> Result<SetupStep, Fault> {
        let ours = [self.rule_for_files()?, self.rule_for_uploads()?];
        // S3 also stores the size of the smallest object that rules move. This setting would be lost if it were not sent back.
        let (there, smallest) = match self.client.get_bucket_lifecycle_configuration().bucket(&self.bucket).send().await {
            Ok(found) => (found.rules.unwrap_or_default(), found.transition_default_minimum_object_size),
            Err(error) if is_none(&error) => (Vec::new(), None),
            Err(error) => return Err(Fault::of(&error)),
        };
        if ours.iter().all(|rule| there.iter().any(|other| is_same(rule, other))) {
            return Ok(step("lifecycle", Done::Kept, "files expire after 28 days already"));
        }
        let is_other = |rule: &LifecycleRule| !matches!(rule.id(), Some(RULE_FILES | RULE_UPLOADS));
        let rules: Vec<_> = there.into_iter().filter(is_other).chain(ours).collect();
        let all = BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build();
        let all = all.map_err(|error| Fault::Other(error.to_string()))?;
        let put = self.client.put_bucket_lifecycle_configuration().bucket(&self.bucket).lifecycle_configuration(all);
        put.set_transition_default_minimum_object_size(smallest).send().await.map_err(|error| Fault::of(&error))?;
        Ok(step("lifecycle", Done::Changed, "files expire after 28 days, uploads that broke off after one"))
    }

    fn rule_for_files(&self) -> Result<LifecycleRule, Fault> {
        let expiration = LifecycleExpiration::builder().days(KEEP_DAYS).build();
        self.rule(LifecycleRule::builder().id(RULE_FILES).expiration(expiration))
    }

    fn rule_for_uploads(&self) -> Result<LifecycleRule, Fault> {
        let abort = AbortIncompleteMultipartUpload::builder().days_after_initiation(ABORT_DAYS).build();
        self.rule(LifecycleRule::builder().id(RULE_UPLOADS).abort_incomplete_multipart_upload(abort))
    }

    fn rule(&self, rule: aws_sdk_s3::types::builders::LifecycleRuleBuilder) -> Result<LifecycleRule, Fault> {
        let filter = LifecycleRuleFilter::builder().prefix(&self.prefix).build();
        let rule = rule.status(ExpirationStatus::Enabled).filter(filter).build();
        rule.map_err(|error| Fault::Other(error.to_string()))
    }

    /// Tests uploads through the API. They use other requests than uploads to a signed address, which `probe_hashes` tests.
    async fn probe_uploads(&self) -> Result<SetupStep, Fault> {
        self.try_uploads(PROBE).await?;
        Ok(step("uploads", Done::Kept, "files are accepted whole and in parts"))
    }

    async fn probe_hashes(&self) -> Result<SetupStep, Fault> {
        if self.try_hashes(&self.signer).await? {
            return Ok(step("hashes", Done::Kept, "content that differs from its signed address is refused"));
        }
        let text = "this storage accepts content of any hash, so files named by their hash go through the API; --s3-proxy sends all files that way";
        Ok(step("hashes", Done::Refused, text))
    }
}

/// Whether the error only means that the bucket has no such configuration.
fn is_none(error: &impl ProvideErrorMetadata) -> bool {
    matches!(error.code(), Some("NoSuchCORSConfiguration" | "NoSuchLifecycleConfiguration"))
}

/// Compares the members of two rules that matter here. Storage adds or leaves out others.
fn is_same(ours: &LifecycleRule, other: &LifecycleRule) -> bool {
    let prefix = |rule: &LifecycleRule| rule.filter().and_then(|filter| filter.prefix()).unwrap_or_default().to_owned();
    let days = |rule: &LifecycleRule| {
        let abort = rule.abort_incomplete_multipart_upload().and_then(AbortIncompleteMultipartUpload::days_after_initiation);
        (rule.expiration().and_then(LifecycleExpiration::days), abort)
    };
    (ours.id(), ours.status(), prefix(ours), days(ours)) == (other.id(), other.status(), prefix(other), days(other))
}
