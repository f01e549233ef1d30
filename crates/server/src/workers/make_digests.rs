//! Signs what has been delivered: one chain of digests for each trail, account and Region.
//!
//! ```text
//!   start of logging ─▶ starting digest (no files, no predecessor)
//!   every interval   ─▶ digest of the files delivered since, also when there are none
//!   stop or delete   ─▶ final digest, once everything selected has been handed over
//!   a member leaves  ─▶ the same for its chains of an organization trail
//! ```
//! Windows follow each other by the chain, not by the clock: when the clock jumps forward, the
//! missing windows are made one by one; when it jumps back, nothing is due until it has caught up,
//! which the log and a metric say.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use catalog::{Chain as ChainRow, ChainKey, Logging, NewDigest, TrailSettings, TrailVersion};
use delivery::digest::{Chain, ChainOf, Digest, ListedFile, SignedDigest};
use delivery::layout::{ObjectKey, Place};
use jiff::{SignedDuration, Timestamp};

use crate::memberships::{InOrganization, Memberships};
use crate::node::Node;
use crate::workers::{More, Turn, Worker};

/// Digests made in one turn; after a long rest there are many to catch up with.
const DIGESTS_PER_TURN_MAX: usize = 50;
/// How far a well-kept clock may be set back without an alarm.
const CLOCK_BEHIND_MS_MAX: i64 = 60_000;

pub struct MakeDigests {
    node: Arc<Node>,
    /// Of trails that do not log: until when late events were taken, and the first entry after those.
    past_late: HashMap<String, (i64, u64)>,
    /// The clock has been found behind the chains, and the log says so.
    behind: bool,
    memberships: Memberships,
}

type Fault = Box<dyn std::error::Error + Send + Sync>;

impl MakeDigests {
    pub fn new(node: Arc<Node>) -> MakeDigests {
        MakeDigests {
            node,
            past_late: HashMap::new(),
            behind: false,
            memberships: Memberships::default(),
        }
    }

    /// Chains that should be open and are not: at home from the start of logging, of members of the
    /// organization too; elsewhere from the first file.
    async fn start_chains(
        &self,
        trail: &TrailVersion,
        chains: &mut Vec<ChainRow>,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let organization = trail.state.settings.organization.as_deref();
        let members = organization.map(|id| self.memberships.members_of(id));
        let accounts = [trail.account.as_str()].into_iter().chain(members.into_iter().flatten());
        let mut wanted = self.node.catalog.chains_wanted(&trail.arn).await?;
        for account in accounts {
            let home = ChainKey {
                trail_arn: trail.arn.clone(),
                account: account.to_owned(),
                region: trail.home_region.clone(),
            };
            if !wanted.contains(&home) {
                wanted.push(home);
            }
        }
        let mut started = false;
        for key in wanted {
            if !chains.iter().any(|chain| chain.key == key && chain.open) {
                self.node.catalog.start_chain(&key, floor_ms(now)).await?;
                started = true;
            }
        }
        if started {
            *chains = self.chains_of(trail).await?;
        }
        Ok(())
    }

    async fn chains_of(&self, trail: &TrailVersion) -> Result<Vec<ChainRow>, Fault> {
        let chains = self.node.catalog.chains().await?;
        Ok(chains.into_iter().filter(|chain| chain.key.trail_arn == trail.arn).collect())
    }

    /// Makes what is due of one chain; the number of digests made.
    async fn bring_up_to_date(
        &self,
        trail: &TrailVersion,
        chain: &mut ChainRow,
        now: Timestamp,
        final_due: bool,
    ) -> Result<usize, Fault> {
        let interval_ms = i64::try_from(self.node.settings.digest_interval.as_millis())?.max(1000);
        let mut made = 0;
        let now_ms = now.as_millisecond();
        // A chain that begins again ends after the one before, which may be ahead of the clock.
        if chain.previous.is_none() && chain.end_ms > now_ms {
            return Ok(0);
        }
        if chain.previous.is_none() {
            self.append(trail, chain, chain.end_ms, Vec::new(), true).await?;
            made += 1;
        }
        while made < DIGESTS_PER_TURN_MAX {
            let due_ms = chain.end_ms + interval_ms;
            if due_ms > now_ms {
                break;
            }
            // With short intervals a window may end at every turn: then the final one is among them.
            let is_final = final_due && due_ms + interval_ms > now_ms;
            let closes = is_final || !trail.state.settings.log_file_validation_enabled;
            let until_ms = if is_final { now_ms } else { due_ms };
            let files =
                self.node.catalog.files_without_digest(&chain.key, until_ms, now_ms).await?;
            self.append(trail, chain, due_ms, files, !closes).await?;
            made += 1;
            if closes {
                return Ok(made);
            }
        }
        let end_ms = floor_ms(now);
        if final_due && made < DIGESTS_PER_TURN_MAX && end_ms > chain.end_ms {
            let files = self.node.catalog.files_without_digest(&chain.key, now_ms, now_ms).await?;
            self.append(trail, chain, end_ms, files, false).await?;
            made += 1;
        }
        Ok(made)
    }

    async fn append(
        &self,
        trail: &TrailVersion,
        chain: &mut ChainRow,
        end_ms: i64,
        files: Vec<catalog::LogFileRow>,
        open_after: bool,
    ) -> Result<(), Fault> {
        let end = Timestamp::from_millisecond(end_ms)?;
        let interval = SignedDuration::try_from(self.node.settings.digest_interval)?;
        let settings = &trail.state.settings;
        let of = ChainOf {
            bucket: settings.s3_bucket_name.clone(),
            place: Place {
                prefix: settings.s3_key_prefix.clone(),
                organization: organization_of(settings, trail, chain),
                account: chain.key.account.clone(),
                region: chain.key.region.clone(),
            },
            trail_name: trail.name.clone(),
            home_region: trail.home_region.clone(),
        };
        let after = match &chain.previous {
            None => Chain::Start { interval },
            Some(previous) => Chain::After(SignedDigest {
                bucket: previous.bucket.clone(),
                object: previous.object.clone(),
                hash: previous.sha256.clone(),
                signature: previous.signature.clone(),
                end: Timestamp::from_millisecond(chain.end_ms)?,
            }),
        };
        let ids = files.iter().map(|row| row.id).collect();
        let mut listed = Vec::with_capacity(files.len());
        for row in &files {
            let file = &row.file;
            listed.push(ListedFile::new(
                &file.bucket,
                &file.key,
                &file.sha256,
                Timestamp::from_millisecond(file.oldest_ms)?,
                Timestamp::from_millisecond(file.newest_ms)?,
            ));
        }
        let key = self.node.digest_keys.for_digest(&self.node, &chain.key.region, end).await?;
        let digest =
            tokio::task::spawn_blocking(move || Digest::build(&of, &after, end, listed, &key))
                .await??;
        let new = NewDigest {
            chain: chain.key.clone(),
            bucket: digest.signed.bucket.clone(),
            key: digest.key.clone(),
            body_gz: digest.gz.to_vec(),
            sha256: digest.signed.hash.clone(),
            signature: digest.signed.signature.clone(),
            end_ms,
            files: ids,
            open_after,
        };
        self.node.catalog.append_digest(&new).await?;
        chain.end_ms = end_ms;
        chain.open = open_after;
        chain.previous = Some(catalog::PreviousDigest {
            bucket: digest.signed.bucket,
            object: digest.signed.object,
            sha256: digest.signed.hash,
            signature: digest.signed.signature,
        });
        Ok(())
    }
}

#[async_trait]
impl Worker for MakeDigests {
    async fn tick(&mut self) -> Turn {
        let now = self.node.clock.now();
        let mut newest: BTreeMap<String, TrailVersion> = BTreeMap::new();
        for version in self.node.catalog.trail_versions().await? {
            newest.insert(version.arn.clone(), version);
        }
        self.memberships = Memberships::new(self.node.catalog.memberships().await?);
        self.past_late.retain(|arn, _| newest.contains_key(arn));
        let chains = self.node.catalog.chains().await?;
        self.note_clock_behind(&chains, now);
        let mut made = 0;
        let mut failed = None;
        for trail in newest.values() {
            let own = chains.iter().filter(|c| c.key.trail_arn == trail.arn).cloned().collect();
            match self.attend(trail, own, now).await {
                Ok(digests) => made += digests,
                // One trail's trouble must not cost the others their digests.
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(if made > 0 { More::Yes } else { More::No }), Err)
    }
}

impl MakeDigests {
    /// Makes what is due of one trail, whose chains are `own`; the number of digests made.
    async fn attend(
        &mut self,
        trail: &TrailVersion,
        mut own: Vec<ChainRow>,
        now: Timestamp,
    ) -> Result<usize, Fault> {
        let mut made = 0;
        let validated = trail.state.settings.log_file_validation_enabled;
        let active = trail.state.logging.is_active();
        if active && validated {
            self.start_chains(trail, &mut own, now).await?;
        }
        let drained = !active && self.is_drained(trail, now);
        if drained && validated {
            // Files that came last may be of an account or Region without a chain yet, or of a
            // deleted trail whose name this one has.
            for key in self.node.catalog.chains_wanted(&trail.arn).await? {
                if !own.iter().any(|c| c.key == key && c.open) {
                    self.node.catalog.start_chain(&key, floor_ms(now) - 1000).await?;
                }
            }
            own = self.chains_of(trail).await?;
        }
        for chain in own.iter_mut().filter(|chain| chain.open) {
            let is_final = drained || self.has_left(trail, chain);
            made += self.bring_up_to_date(trail, chain, now, is_final).await?;
        }
        if !validated && own.iter().all(|chain| !chain.open) {
            self.node.catalog.leave_unattested(&trail.arn, now.as_millisecond()).await?;
        }
        let over = drained && own.iter().all(|chain| !chain.open);
        if over && trail.state.deleted && self.node.catalog.digests_waiting(&trail.arn).await? == 0
        {
            self.node.catalog.purge_trail(&trail.arn).await?;
            self.node.trails_changed();
        }
        Ok(made)
    }

    /// Is this the chain of an account that is not in the organization any more, or whose events the
    /// trail does not take now, and has everything from before been handed over?
    fn has_left(&self, trail: &TrailVersion, chain: &ChainRow) -> bool {
        let account = &chain.key.account;
        let taken_in = organization_of(&trail.state.settings, trail, chain);
        let Some(organization) = taken_in.filter(|_| *account != trail.account) else {
            return false;
        };
        let until_seq = match self.memberships.is_in(account, &organization) {
            InOrganization::Now if trail.state.settings.organization.is_some() => return false,
            // Since the trail was changed: what was accepted before.
            InOrganization::Now => trail.from_seq,
            InOrganization::Until(until_seq) => until_seq,
        };
        self.node.handover.is_drained_of(&trail.arn, account, until_seq)
    }

    /// Digests that end in the future were made while the clock was wrong. Nothing is attested
    /// until it has passed them, and nobody would notice from the bucket alone.
    fn note_clock_behind(&mut self, chains: &[ChainRow], now: Timestamp) {
        let ends_ms = chains.iter().filter(|chain| chain.open).map(|chain| chain.end_ms).max();
        let ahead_ms = ends_ms.map_or(0, |end_ms| (end_ms - now.as_millisecond()).max(0));
        self.node.metrics.digests_ahead(ahead_ms / 1000);
        let behind = ahead_ms > CLOCK_BEHIND_MS_MAX;
        if behind && !self.behind {
            tracing::error!(
                seconds = ahead_ms / 1000,
                "the clock is behind the newest digest: it was wrong then or is now. Log files go on, \
                 digests wait until it has caught up"
            );
        }
        self.behind = behind;
    }

    /// A trail that does not log: has everything from before its stop been handed over, late
    /// arrivals included?
    fn is_drained(&mut self, trail: &TrailVersion, now: Timestamp) -> bool {
        let late_until_ms = match trail.state.logging {
            Logging::Stopped { since_ms, .. } => since_ms + self.node.late_grace_ms(),
            Logging::Never | Logging::Active { .. } => 0,
        };
        if now.as_millisecond() < late_until_ms {
            self.past_late.remove(&trail.arn);
            return false;
        }
        // What was accepted up to now may be late and is still to be read; what comes after is not.
        let next_seq = self.node.journal.next_seq();
        let past = self.past_late.entry(trail.arn.clone()).or_insert((late_until_ms, next_seq));
        if past.0 != late_until_ms {
            *past = (late_until_ms, next_seq);
        }
        self.node.handover.is_drained(&trail.arn, past.1)
    }
}

/// In whose folder the chain's digests lie. The chains of members end where they began when the trail
/// is made one of its own account only.
fn organization_of(
    settings: &TrailSettings,
    trail: &TrailVersion,
    chain: &ChainRow,
) -> Option<String> {
    if settings.organization.is_some() || chain.key.account == trail.account {
        return settings.organization.clone();
    }
    match ObjectKey::parse(&chain.previous.as_ref()?.object)? {
        ObjectKey::Digest(digest) => digest.place.organization,
        ObjectKey::LogFile(_) | ObjectKey::Marker(_) => None,
    }
}

/// Digests begin and end at whole seconds.
fn floor_ms(now: Timestamp) -> i64 {
    now.as_second() * 1000
}
