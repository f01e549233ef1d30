//! Puts signed digests into their buckets, oldest first, each with the bytes it was stored with.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use catalog::SignedDigest;
use delivery::destination::{DeliveryFailure, backoff};
use delivery::digest::{METADATA_SIGNATURE, METADATA_SIGNATURE_ALGORITHM, SIGNATURE_ALGORITHM};
use jiff::Timestamp;

use crate::chance;
use crate::node::Node;
use crate::workers::{More, Turn, Worker, is_hopeless};

const DIGESTS_PER_TURN_MAX: u32 = 20;

pub struct PutDigests {
    node: Arc<Node>,
    pauses: HashMap<String, Pause>,
}

/// A bucket that failed rests, as it does for log files.
struct Pause {
    attempts: u32,
    since: Duration,
    until: Duration,
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
        destination
            .put(
                &digest.key,
                digest.body_gz.clone().into(),
                &metadata,
                &self.node.put_headers(&digest.chain.trail_arn),
            )
            .await
    }
}

#[async_trait]
impl Worker for PutDigests {
    async fn tick(&mut self) -> Turn {
        let elapsed = self.node.clock.elapsed();
        let resting: Vec<String> = self
            .pauses
            .iter()
            .filter(|(_, pause)| pause.until > elapsed)
            .map(|(bucket, _)| bucket.clone())
            .collect();
        let digests = self.node.catalog.digests_to_put(&resting, DIGESTS_PER_TURN_MAX).await?;
        let mut more = More::No;
        for digest in digests {
            if self
                .pauses
                .get(&digest.bucket)
                .is_some_and(|pause| pause.until > self.node.clock.elapsed())
            {
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
                    tracing::warn!(
                        key = digest.key,
                        bucket = digest.bucket,
                        code = failure.code,
                        detail = failure.detail,
                        "digest not delivered yet"
                    );
                    let chain = &digest.chain;
                    self.node
                        .catalog
                        .digest_delivery_failed(&chain.trail_arn, &chain.region, &failure.code)
                        .await?;
                    let elapsed = self.node.clock.elapsed();
                    let pause = self.pauses.entry(digest.bucket.clone()).or_insert(Pause {
                        attempts: 0,
                        since: elapsed,
                        until: elapsed,
                    });
                    let failing = elapsed.saturating_sub(pause.since);
                    if is_hopeless(Timestamp::from_millisecond(digest.end_ms)?, now, failing) {
                        tracing::error!(
                            key = digest.key,
                            "digest dropped: it could not be delivered for 30 days"
                        );
                        self.node.catalog.digest_abandoned(digest.id).await?;
                        more = More::Yes;
                        continue;
                    }
                    pause.attempts = pause.attempts.saturating_add(1);
                    let jitter = chance::fraction(self.node.chance.as_ref());
                    pause.until = elapsed + backoff(pause.attempts, jitter);
                }
            }
        }
        Ok(more)
    }
}
