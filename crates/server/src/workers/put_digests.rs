//! Puts signed digests into their buckets, oldest first, each with the bytes it was stored with.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use catalog::SignedDigest;
use jiff::Timestamp;
use delivery::destination::{DeliveryFailure, backoff, within_horizon};
use delivery::digest::{METADATA_SIGNATURE, METADATA_SIGNATURE_ALGORITHM, SIGNATURE_ALGORITHM};

use crate::chance;
use crate::node::Node;
use crate::workers::{More, Turn, Worker};

const DIGESTS_PER_TURN_MAX: u32 = 20;

pub struct PutDigests {
    node: Arc<Node>,
    /// Buckets that failed: attempts so far, and when to try again.
    pauses: HashMap<String, (u32, Duration)>,
}

impl PutDigests {
    pub fn new(node: Arc<Node>) -> PutDigests {
        PutDigests { node, pauses: HashMap::new() }
    }

    async fn attempt(&self, digest: &SignedDigest) -> Result<(), DeliveryFailure> {
        let destination = self.node.destination(&digest.bucket)?;
        let metadata = vec![
            (METADATA_SIGNATURE.to_owned(), digest.signature.clone()),
            (METADATA_SIGNATURE_ALGORITHM.to_owned(), SIGNATURE_ALGORITHM.to_owned()),
        ];
        destination.put(&digest.key, digest.body_gz.clone().into(), &metadata, &self.node.put_headers(&digest.chain.trail_arn)).await
    }
}

#[async_trait]
impl Worker for PutDigests {
    async fn tick(&mut self) -> Turn {
        let elapsed = self.node.clock.elapsed();
        let resting: Vec<String> =
            self.pauses.iter().filter(|(_, (_, until))| *until > elapsed).map(|(bucket, _)| bucket.clone()).collect();
        let digests = self.node.catalog.digests_to_put(&resting, DIGESTS_PER_TURN_MAX).await?;
        let mut more = More::No;
        for digest in digests {
            if self.pauses.get(&digest.bucket).is_some_and(|(_, until)| *until > self.node.clock.elapsed()) {
                continue;
            }
            let attempt = self.attempt(&digest).await;
            let now = self.node.clock.now();
            match attempt {
                Ok(()) => {
                    self.pauses.remove(&digest.bucket);
                    self.node.catalog.digest_delivered(&digest, now.as_millisecond()).await?;
                    self.node.metrics.digest_delivered();
                    more = More::Yes;
                }
                Err(failure) => {
                    self.node.metrics.delivery_failed(&failure.code);
                    tracing::warn!(key = digest.key, bucket = digest.bucket, code = failure.code, detail = failure.detail, "digest not delivered yet");
                    let chain = &digest.chain;
                    self.node.catalog.digest_delivery_failed(&chain.trail_arn, &chain.region, &failure.code).await?;
                    if !within_horizon(Timestamp::from_millisecond(digest.end_ms)?, now) {
                        tracing::error!(key = digest.key, "digest dropped: it could not be delivered for 30 days");
                        self.node.catalog.digest_abandoned(digest.id).await?;
                    }
                    let attempts = self.pauses.get(&digest.bucket).map_or(1, |(n, _)| n.saturating_add(1));
                    let pause = backoff(attempts, chance::fraction(self.node.chance.as_ref()));
                    self.pauses.insert(digest.bucket.clone(), (attempts, self.node.clock.elapsed() + pause));
                }
            }
        }
        Ok(more)
    }
}
