//! Puts the results of finished queries where StartQuery's DeliveryS3Uri says.
//!
//! A delivery that is cut off is repeated as a whole, with the same bytes under the same keys; the
//! signature goes last, so a bucket never holds one whose files are missing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use catalog::Query;
use delivery::destination::{DeliveryFailure, backoff};
use jiff::Timestamp;

use crate::chance;
use crate::node::Node;
use crate::queries;
use crate::queries::delivered::{ResultFiles, S3Uri, SIGN_FILE, query_folder, sign_file};
use crate::workers::{More, Turn, Worker};

/// Queries looked at in one turn.
const QUERIES_PER_TURN_MAX: u32 = 1000;
/// Then the delivery has FAILED. With the pauses between, that is a quarter of an hour.
const ATTEMPTS_MAX: u32 = 20;

const GZIP: &str = "application/gzip";
const JSON: &str = "application/json";

type Fault = Box<dyn std::error::Error + Send + Sync>;

pub struct DeliverQueryResults {
    node: Arc<Node>,
    pauses: HashMap<String, Pause>,
}

/// A query whose delivery failed rests.
struct Pause {
    attempts: u32,
    until: Duration,
}

/// How a delivery went.
enum Attempt {
    /// To be entered as its DeliveryStatus.
    Ended(&'static str),
    /// Worth another attempt; without one, this is its DeliveryStatus.
    Again(&'static str),
}

impl DeliverQueryResults {
    pub fn new(node: Arc<Node>) -> DeliverQueryResults {
        DeliverQueryResults { node, pauses: HashMap::new() }
    }

    async fn attempt(&self, query: &Query) -> Result<Attempt, Fault> {
        let asked = &query.asked;
        let uri = asked.delivery_uri.as_deref().and_then(S3Uri::parse);
        let (Some(uri), Some(ended_ms)) = (uri, query.ended_ms) else {
            return Ok(Attempt::Ended("FAILED"));
        };
        let destination = match self.node.destination(&uri.bucket) {
            Ok(destination) => destination,
            Err(failure) => return Ok(judged(query, &failure, false)),
        };
        let headers = self.node.put_headers(asked.stores.first().map_or("", |store| &store.arn));
        let prefix = uri.path.trim_end_matches('/');
        let created = Timestamp::from_millisecond(asked.created_ms)?;
        let prefix = Some(prefix).filter(|prefix| !prefix.is_empty());
        let folder = query_folder(prefix, &asked.account, created, &asked.id);

        let Some(results) = queries::results(&self.node, &asked.id).await? else {
            tracing::error!(query = asked.id, "the results to deliver are gone");
            return Ok(Attempt::Ended("FAILED"));
        };
        let mut files =
            ResultFiles::new(results, self.node.settings.queries.delivered_file_bytes_max);
        let mut put = Vec::new();
        loop {
            let (made, rest) = tokio::task::spawn_blocking(move || {
                let made = files.next_file();
                (made, files)
            })
            .await?;
            files = rest;
            let Some(file) = made? else { break };
            let key = format!("{folder}{}", file.name);
            let sha256 = file.sha256();
            if let Err(failure) = destination.put_file(&key, file.gz, GZIP, &headers).await {
                return Ok(judged(query, &failure, false));
            }
            put.push((file.name, sha256));
        }

        let completed = Timestamp::from_millisecond(ended_ms)?;
        let key = self.node.digest_keys.for_digest(&self.node, &asked.region, completed).await?;
        let signed = sign_file(&asked.region, &put, completed, &key)?;
        let name = format!("{folder}{SIGN_FILE}");
        match destination.put_file(&name, Bytes::from(signed), JSON, &headers).await {
            Ok(()) => Ok(Attempt::Ended("SUCCESS")),
            Err(failure) => Ok(judged(query, &failure, true)),
        }
    }
}

/// What a failed put means. Spec i.5: the values of DeliveryStatus.
fn judged(query: &Query, failure: &DeliveryFailure, signing: bool) -> Attempt {
    tracing::warn!(
        query = query.asked.id,
        code = failure.code,
        detail = failure.detail,
        "query results not delivered"
    );
    match (failure.code.as_str(), failure.status) {
        ("NoSuchBucket", _) => Attempt::Ended("RESOURCE_NOT_FOUND"),
        (_, Some(403)) if signing => Attempt::Ended("ACCESS_DENIED_SIGNING_FILE"),
        (_, Some(403)) => Attempt::Ended("ACCESS_DENIED"),
        _ => Attempt::Again(if signing { "FAILED_SIGNING_FILE" } else { "FAILED" }),
    }
}

#[async_trait]
impl Worker for DeliverQueryResults {
    async fn tick(&mut self) -> Turn {
        let queries = self.node.catalog.queries_to_deliver(QUERIES_PER_TURN_MAX).await?;
        self.pauses.retain(|id, _| queries.iter().any(|query| query.asked.id == *id));
        let elapsed = self.node.clock.elapsed();
        let rests = |query: &&Query| {
            self.pauses.get(&query.asked.id).is_none_or(|pause| pause.until <= elapsed)
        };
        let Some(query) = queries.iter().find(rests) else { return Ok(More::No) };
        let id = &query.asked.id;
        let attempt = match self.attempt(query).await {
            Ok(attempt) => attempt,
            Err(error) => {
                tracing::error!(query = id, error = error.as_ref(), "query results not delivered");
                Attempt::Again("FAILED")
            }
        };
        let attempts = self.pauses.get(id).map_or(1, |pause| pause.attempts + 1);
        match attempt {
            Attempt::Again(_) if attempts < ATTEMPTS_MAX => {
                let jitter = chance::fraction(self.node.chance.as_ref());
                let until = self.node.clock.elapsed() + backoff(attempts, jitter);
                self.pauses.insert(id.clone(), Pause { attempts, until });
            }
            Attempt::Ended(status) | Attempt::Again(status) => {
                self.node.catalog.query_delivery_ended(id, status).await?;
            }
        }
        Ok(More::Yes)
    }
}
