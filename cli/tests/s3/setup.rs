//! `asman blob init`.

use std::collections::BTreeSet;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, CorsConfiguration, CorsRule, ExpirationStatus,
    LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
};
use serde_json::Value;

use crate::client;
use crate::support::garage::Garage;

#[test]
fn init_makes_a_bucket_once_and_says_what_it_did() {
    let garage = Garage::start();
    let init = |bucket: &str| {
        let output = garage.asman(bucket).args(["blob", "init", "--json"]).output().unwrap();
        (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).unwrap())
    };
    let words = |steps: &Value| {
        steps.as_array().unwrap().iter().map(|step| step["done"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (code, first) = init("fresh");
    assert_eq!(
        (code, words(&first)),
        (Some(0), ["changed", "changed", "changed", "kept"].map(str::to_owned).to_vec()),
        "{first}"
    );
    let (code, second) = init("fresh");
    assert_eq!((code, words(&second)), (Some(0), vec!["kept".to_owned(); 4]), "{second}");
}

/// Sets rules as an operator does who uses the bucket for other things too. Returns them.
async fn keep_house(storage: &Client) -> (CorsRule, Vec<LifecycleRule>) {
    storage.create_bucket().bucket("shared").send().await.unwrap();
    let page = CorsRule::builder().id("theirs").allowed_origins("https://app.example").allowed_methods("POST");
    let page = page.allowed_headers("x-own").max_age_seconds(60).build().unwrap();
    let all = CorsConfiguration::builder().cors_rules(page.clone()).build().unwrap();
    storage.put_bucket_cors().bucket("shared").cors_configuration(all).send().await.unwrap();
    let rule = |id: &str, prefix: &str| {
        let filter = LifecycleRuleFilter::builder().prefix(prefix).build();
        LifecycleRule::builder().id(id).status(ExpirationStatus::Enabled).filter(filter)
    };
    let archive = rule("archive", "backup/").expiration(LifecycleExpiration::builder().days(365).build()).build().unwrap();
    let abort = AbortIncompleteMultipartUpload::builder().days_after_initiation(7).build();
    let broken = rule("broken", "scratch/").abort_incomplete_multipart_upload(abort).build().unwrap();
    let rules = vec![archive, broken];
    let all = BucketLifecycleConfiguration::builder().set_rules(Some(rules.clone())).build().unwrap();
    storage.put_bucket_lifecycle_configuration().bucket("shared").lifecycle_configuration(all).send().await.unwrap();
    (page, rules)
}

async fn pages(storage: &Client) -> Vec<CorsRule> {
    storage.get_bucket_cors().bucket("shared").send().await.unwrap().cors_rules.unwrap()
}

async fn rules(storage: &Client) -> Vec<LifecycleRule> {
    storage.get_bucket_lifecycle_configuration().bucket("shared").send().await.unwrap().rules.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_of_the_operator_stay_and_ours_come_once() {
    let garage = tokio::task::block_in_place(Garage::start);
    let storage = client(&garage);
    let (their_page, their_rules) = keep_house(&storage).await;
    for (prefix, words) in [
        ("asman/", ["kept", "changed", "changed", "kept"]),
        ("asman/", ["kept"; 4]),
        ("other/", ["kept", "kept", "changed", "kept"]),
    ] {
        let mut init = garage.asman("shared");
        let done = init.args(["blob", "init", "--json", "--s3-prefix", prefix]).output().unwrap();
        let steps: Vec<Value> = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(steps.iter().map(|step| step["done"].as_str().unwrap()).collect::<Vec<_>>(), words, "{steps:?}");
        let pages = pages(&storage).await;
        assert!(pages.contains(&their_page), "{pages:?}");
        assert_eq!(pages.iter().filter_map(CorsRule::id).collect::<BTreeSet<_>>(), BTreeSet::from(["asman", "theirs"]));
        let rules = rules(&storage).await;
        assert!(their_rules.iter().all(|rule| rules.contains(rule)), "{rules:?}");
        let (ours, theirs): (Vec<_>, Vec<_>) = rules.iter().partition(|rule| rule.id().unwrap().starts_with("asman"));
        assert_eq!((pages.len(), ours.len(), theirs.len()), (2, 2, 2), "{rules:?}");
        assert!(ours.iter().all(|rule| rule.filter().unwrap().prefix() == Some(prefix)), "nothing but our own files expires");
    }
}
