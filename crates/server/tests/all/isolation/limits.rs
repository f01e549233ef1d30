//! Places that one tenant has taken are not missing to the other.

use serde_json::json;

use super::Tenant;
use crate::conversations::client::{Call, Client};
use crate::fresh_node::FreshNode;

/// AWS: trails of an account in a Region, and event data stores.
const TRAILS_MAX: usize = 5;
const STORES_MAX: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_counts_only_what_is_ones_own() {
    let fresh = FreshNode::start().await;
    for (account, word) in [("222222222222", "alphaword"), ("333333333333", "bravoword")] {
        let tenant = Tenant::new(&fresh.node, account, word).await;
        let mut client = tenant.client(&fresh.node);
        let (operation, bucket) = ("CreateBucket".to_owned(), format!("{word}-bucket"));
        let create = Call::S3 { operation, bucket, rest: String::new() };
        let made = client.call("us-east-1", &create).await;
        assert_eq!(made.status, 200, "{}", made.shown());
        let full = "MaximumNumberOfTrailsExceededException";
        fill(&mut client, "CreateTrail", TRAILS_MAX, full, word).await;
        let full = "EventDataStoreMaxLimitExceededException";
        fill(&mut client, "CreateEventDataStore", STORES_MAX, full, word).await;
    }
    fresh.stop().await;
}

/// So many can be made, and no more.
async fn fill(client: &mut Client, operation: &str, max: usize, full: &str, word: &str) {
    for number in 0..=max {
        let mut input = json!({ "Name": format!("{word}-{number}") });
        match operation {
            "CreateTrail" => input["S3BucketName"] = json!(format!("{word}-bucket")),
            _ => input["StartIngestion"] = json!(false),
        }
        let answer = client.cloudtrail(operation, &input.to_string()).await;
        let expected = (number == max).then_some(full);
        assert_eq!(answer.code(), expected, "{operation} {number}: {}", answer.shown());
    }
}
