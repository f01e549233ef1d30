//! Puts spooled log files into their buckets, enters them in the ledger, and only then removes
//! them from the spool. Stopped anywhere in between, the next start puts the same bytes under the
//! same name again.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use catalog::{NewLogFile, StreamKey};
use delivery::destination::{DeliveryFailure, backoff};
use delivery::spool::{SpoolFault, SpoolId, SpooledHeader, SpooledKind};
use futures::future::join_all;

use crate::chance;
use crate::node::Node;
use crate::workers::{More, Turn, Worker, is_hopeless};

/// Puts at a time.
const PUTS_MAX: usize = 4;

pub struct PutLogFiles {
    node: Arc<Node>,
}

impl PutLogFiles {
    pub fn new(node: Arc<Node>) -> PutLogFiles {
        PutLogFiles { node }
    }

    async fn put(&self, id: &SpoolId, header: &SpooledHeader) -> Turn {
        let SpooledKind::LogFile {
            folder,
            first_seq,
            last_seq,
            count,
            oldest_event_time,
            newest_event_time,
        } = &header.kind;
        let stream = StreamKey {
            trail_arn: header.trail_arn.clone(),
            account: header.account.clone(),
            region: header.region.clone(),
            folder: folder.clone(),
        };
        let spool = self.node.spool.clone();
        let spooled = id.clone();
        let file = match tokio::task::spawn_blocking(move || spool.read(&spooled)).await? {
            Err(SpoolFault::Damaged { reason, .. }) => return self.set_aside(id, &reason).await,
            Err(SpoolFault::Disk { source, .. }) if source.kind() == ErrorKind::NotFound => {
                // Somebody took it: waiting for it would hold up those behind it.
                tracing::error!(file = id.as_str(), "a spooled log file is gone");
                self.node.metrics.delivery_failed("SpoolDamaged");
                self.node.handover.done(id, false);
                return Ok(More::Yes);
            }
            other => other?,
        };
        let attempt = self.attempt(header, file.gz).await;
        let now = self.node.clock.now();
        let now_ms = now.as_millisecond();
        if let Err(failure) = attempt {
            self.node.metrics.delivery_failed(&failure.code);
            tracing::warn!(
                key = header.key,
                bucket = header.bucket,
                code = failure.code,
                detail = failure.detail,
                "log file not delivered yet"
            );
            self.node
                .catalog
                .delivery_failed(&header.trail_arn, &header.region, now_ms, &failure.code)
                .await?;
            let elapsed = self.node.clock.elapsed();
            let failing = self.node.handover.failing_for(&header.bucket, elapsed);
            if is_hopeless(header.made_at, now, failing) {
                tracing::error!(
                    key = header.key,
                    events = count,
                    "log file dropped: it could not be delivered for 30 days"
                );
                self.node.catalog.skip_stream(&stream, *last_seq).await?;
                self.forget(id, false).await?;
                return Ok(More::Yes);
            }
            let jitter = chance::fraction(self.node.chance.as_ref());
            self.node.handover.failed(id, elapsed, |attempts| backoff(attempts, jitter));
            return Ok(More::No);
        }
        let delivered = NewLogFile {
            stream,
            bucket: header.bucket.clone(),
            key: header.key.clone(),
            sha256: header.sha256.clone(),
            first_seq: *first_seq,
            last_seq: *last_seq,
            events: *count,
            oldest_ms: oldest_event_time.as_millisecond(),
            newest_ms: newest_event_time.as_millisecond(),
            delivered_ms: now_ms,
        };
        self.node.catalog.log_file_delivered(&delivered).await?;
        let waited = self.node.handover.under_way(id, self.node.clock.elapsed());
        self.forget(id, true).await?;
        self.node.metrics.delivered(*count, waited);
        Ok(More::Yes)
    }

    async fn attempt(&self, header: &SpooledHeader, gz: Bytes) -> Result<(), DeliveryFailure> {
        let destination = self.node.destination(&header.bucket)?;
        destination.put(&header.key, gz, &[], &self.node.put_headers(&header.trail_arn)).await
    }

    /// A file that is not what was written must neither be put nor hold up those behind it.
    async fn set_aside(&self, id: &SpoolId, reason: &str) -> Turn {
        tracing::error!(file = id.as_str(), reason, "a spooled log file is damaged and set aside");
        self.node.metrics.delivery_failed("SpoolDamaged");
        let spool = self.node.spool.clone();
        let spooled = id.clone();
        tokio::task::spawn_blocking(move || spool.quarantine(&spooled)).await??;
        self.node.handover.done(id, false);
        Ok(More::Yes)
    }

    /// Its part is done: it is in the ledger, or given up. A file that cannot be removed now is put
    /// once more by the next start, which is harmless.
    async fn forget(&self, id: &SpoolId, reached: bool) -> Result<(), tokio::task::JoinError> {
        let spool = self.node.spool.clone();
        let spooled = id.clone();
        if let Err(fault) = tokio::task::spawn_blocking(move || spool.remove(&spooled)).await? {
            let error = &fault as &dyn std::error::Error;
            tracing::warn!(file = id.as_str(), error, "a delivered log file stays in the spool");
        }
        self.node.handover.done(id, reached);
        Ok(())
    }
}

#[async_trait]
impl Worker for PutLogFiles {
    async fn tick(&mut self) -> Turn {
        let now = self.node.clock.elapsed();
        let mut taken = Vec::new();
        while taken.len() < PUTS_MAX
            && let Some(file) = self.node.handover.take(now)
        {
            taken.push(file);
        }
        let turns = join_all(taken.iter().map(|(id, header)| self.put(id, header))).await;
        let mut more = More::No;
        let mut failed = None;
        for ((id, _), turn) in taken.iter().zip(turns) {
            match turn {
                Ok(More::Yes) => more = More::Yes,
                Ok(More::No) => {}
                Err(error) => {
                    // Ours, not the store's: the file goes back and is tried again soon.
                    self.node
                        .handover
                        .failed(id, self.node.clock.elapsed(), |_| Duration::from_secs(1));
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(more), Err)
    }
}
