//! Two neighbours of a chain: does the later one continue the earlier one?

use jiff::Timestamp;

use super::digest_check::CheckedDigest;
use super::{ChainId, Finding, Options, Problem, Report};
use crate::digest::{DigestFile, HASH_ALGORITHM};
use crate::layout::{DigestKey, ObjectKey};

/// More missing digests than this are reported as one interval only.
const NAMED_MISSING_MAX: i64 = 1000;

/// Checks the link from `digest` back to `previous`, the readable or unreadable digest before it in
/// time, or `None` if it is the first one found.
pub(super) fn check_links(
    options: &Options,
    id: &ChainId,
    previous: Option<&CheckedDigest>,
    digest: &CheckedDigest,
    report: &mut Report,
) {
    // What an unreadable or forged digest says of its predecessor is worth nothing; that it is so
    // has been reported. Its successor still has to name it.
    let Some(file) = digest.file.as_ref().filter(|_| digest.intact) else { return };
    let Some(named) = file.previous_digest_s3_object.as_deref() else {
        restarted(previous, digest, report);
        return;
    };
    let before_range = options.from.is_some_and(|from| digest.start <= from);
    match previous {
        Some(previous) if previous.name == named => compare(file, previous, digest, report),
        // The range begins with this digest: its predecessor was not asked for.
        None if before_range => {}
        _ if file.previous_digest_s3_bucket.as_deref() != Some(&file.digest_s3_bucket) => {
            let bucket = file.previous_digest_s3_bucket.as_deref().unwrap_or("");
            let detail = format!("the digest before it is {named} in bucket {bucket}");
            let problem = Problem::ChainContinuesElsewhere;
            report.findings.push(Finding::note(problem, &digest.name, detail));
        }
        _ => missing(id, previous, digest, named, report),
    }
}

fn restarted(previous: Option<&CheckedDigest>, digest: &CheckedDigest, report: &mut Report) {
    let Some(previous) = previous else { return };
    // A starting digest's window reaches back before the start of logging; it lists no files there.
    let to = digest.start.max(previous.key.end).min(digest.key.end);
    let detail =
        "the chain begins again here: validation or logging was off before, nothing is attested";
    let finding = Finding::note(Problem::ChainRestarted, &digest.name, detail.to_owned());
    report.findings.push(finding.over(previous.key.end, to));
}

/// `digest` names `previous`: everything else it says of it must be true, too.
fn compare(
    file: &DigestFile,
    previous: &CheckedDigest,
    digest: &CheckedDigest,
    report: &mut Report,
) {
    let mut wrong = Vec::new();
    if file.previous_digest_hash_algorithm.as_deref() != Some(HASH_ALGORITHM) {
        wrong.push("hash algorithm");
    }
    if file.previous_digest_hash_value.as_deref() != Some(&previous.sha256) {
        wrong.push("hash");
    }
    if file.previous_digest_signature != previous.signature {
        wrong.push("signature");
    }
    if digest.start != previous.key.end {
        wrong.push("end");
    }
    if let Some(previous_file) = &previous.file
        && file.previous_digest_s3_bucket.as_deref() != Some(&previous_file.digest_s3_bucket)
    {
        wrong.push("bucket");
    }
    if wrong.is_empty() {
        return;
    }
    let detail = format!("{} says otherwise about its {}", digest.name, wrong.join(", "));
    report.findings.push(Finding::error(Problem::DigestLinkBroken, &previous.name, detail));
}

/// `digest` continues something that is not there.
fn missing(
    id: &ChainId,
    previous: Option<&CheckedDigest>,
    digest: &CheckedDigest,
    named: &str,
    report: &mut Report,
) {
    let last_end = previous.map(|previous| previous.key.end);
    if last_end.is_some_and(|last_end| last_end >= digest.start) {
        // Nothing is missing in time, yet the neighbour is not the one named.
        let name = previous.map_or("", |previous| previous.name.as_str());
        let detail = format!("it follows {named}, but the digest before it is {name}");
        report.findings.push(Finding::error(Problem::DigestLinkBroken, &digest.name, detail));
        return;
    }
    let mut names = vec![named.to_owned()];
    if let Some(last_end) = last_end {
        for end in rhythm(last_end, digest.start, digest.key.end) {
            let key = DigestKey {
                place: id.place.clone(),
                trail_name: id.trail_name.clone(),
                home_region: id.home_region.clone(),
                end,
                backfill: id.backfill,
            };
            names.push(key.to_string());
        }
    }
    names.sort_unstable();
    names.dedup();
    for name in names {
        report.totals.digests_missing += 1;
        let why = if name == named {
            format!("{} follows it", digest.name)
        } else {
            "the chain has one in each interval".to_owned()
        };
        let detail = format!("it is not there; {why}");
        report.findings.push(Finding::error(Problem::DigestMissing, &name, detail));
    }
    let detail = "no digest covers this time".to_owned();
    let mut finding = Finding::error(Problem::DigestsMissingBetween, &digest.name, detail);
    finding.to = Some(digest.start);
    finding.from = last_end;
    // The name that a genuine digest signed tells its end, even where the start is unknown.
    if last_end.is_none()
        && let Some(ObjectKey::Digest(key)) = ObjectKey::parse(named)
    {
        finding.to = Some(key.end);
    }
    report.findings.push(finding);
}

/// The ends of the digests that lay between, if windows of the length of the last one fill the hole.
fn rhythm(last_end: Timestamp, start: Timestamp, end: Timestamp) -> Vec<Timestamp> {
    let length = end.as_second() - start.as_second();
    let hole = start.as_second() - last_end.as_second();
    if length <= 0 || hole % length != 0 || hole / length > NAMED_MISSING_MAX {
        return Vec::new();
    }
    let count = hole / length;
    (1..=count)
        .filter_map(|n| Timestamp::from_second(last_end.as_second() + n * length).ok())
        .collect()
}
