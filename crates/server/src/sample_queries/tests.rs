#![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

use super::*;

const NOW: &str = "2026-11-23T10:30:00Z";

#[track_caller]
fn finds(phrase: &str, first: &str) {
    let samples = SampleQueries::default();
    let found = samples.search(phrase);
    let names: Vec<&str> = found.iter().take(5).map(|(sample, _)| sample.name.as_str()).collect();
    assert_eq!(names.first(), Some(&first), "{phrase:?} finds {names:?}");
}

/// The clauses of the generated statement from FROM on.
#[track_caller]
fn generates(prompt: &str, wanted: &str) {
    let samples = SampleQueries::default();
    let sql = samples.generate(prompt, NOW.parse().unwrap()).unwrap_or_default();
    let from = sql.find("FROM").map_or("", |at| &sql[at..]);
    assert_eq!(from, wanted, "{prompt:?}");
}

#[test]
fn every_sample_is_whole_and_has_a_name_of_its_own() {
    let samples = SampleQueries::default();
    assert!(samples.all().len() >= 60, "{}", samples.all().len());
    let mut names = BTreeSet::new();
    for sample in samples.all() {
        assert!(names.insert(&sample.name), "{}", sample.name);
        assert!(sample.description.ends_with('.'), "{}", sample.name);
        assert!(sample.sql.contains("FROM $EDS_ID"), "{}", sample.name);
        let first = sample.sql.split_whitespace().next().unwrap();
        assert!(first == "SELECT" || first == "WITH", "{}: {first}", sample.name);
        assert!(!sample.sql.contains(';') && !sample.sql.contains("--"), "{}", sample.name);
        assert!(sample.sql.len() <= 10_000);
    }
}

/// Else a condition that is added would bind to one side of the OR, or not at all.
#[test]
fn every_sample_with_slots_takes_another_condition() {
    for sample in SampleQueries::default().all().iter().filter(|sample| sample.has_slots) {
        assert_eq!(sample.sql.matches("FROM $EDS_ID").count(), 1, "{}", sample.name);
        let mut depth = 0_i32;
        for word in sample.sql.split_inclusive([' ', '\n', '(', ')']) {
            assert!(depth > 0 || word.trim() != "OR", "{}: an OR without brackets", sample.name);
            depth += word.matches('(').count() as i32 - word.matches(')').count() as i32;
        }
        let slots = Slots::of("in eu-west-1", NOW.parse().unwrap());
        let sql = slots.put_into(&sample.sql);
        let condition = sql.lines().position(|line| line.ends_with("awsRegion = 'eu-west-1'"));
        let before = sql.lines().nth(condition.unwrap() - 1).unwrap();
        assert!(!before.starts_with("GROUP") && !before.starts_with("LIMIT"), "{sql}");
    }
}

#[test]
fn phrases_find_the_sample_that_is_meant() {
    finds("failed console logins", "Failed console sign-ins");
    finds("root account activity", "Root user activity");
    finds("who was denied access", "Access denied by user");
    finds("top users", "Most active users");
    finds("security group changes", "Changes to security groups");
    finds("deleted S3 objects", "Deleted objects");
    finds("which IAM users were created", "Created IAM users");
    finds("login without MFA", "Console sign-ins without a second factor");
    finds("TLS", "TLS versions in use");
    finds("errors by user", "Errors by user");
    finds("most read s3 objects", "Most read objects");
    finds("throttling", "Throttled calls");
    finds("who assumed which role", "Assumed roles");
    finds("kms key deletion", "KMS keys disabled or scheduled for deletion");
}

#[test]
fn relevance_lies_between_0_and_1_and_falls() {
    let samples = SampleQueries::default();
    for phrase in ["failed logins", "s3", "changes to iam policies by user", "x y z"] {
        let found = samples.search(phrase);
        assert!(found.iter().all(|(_, relevance)| *relevance > 0.0 && *relevance <= 1.0));
        assert!(found.is_sorted_by(|a, b| a.1 >= b.1), "{phrase}");
    }
    assert_eq!(samples.search("xyzzy"), Vec::new());
    assert_eq!(samples.search("the of"), Vec::new());
}

#[test]
fn times_become_conditions() {
    let all = "FROM $EDS_ID\nWHERE eventName = 'ConsoleLogin'\n    AND element_at(responseElements, 'ConsoleLogin') = 'Failure'\n{}GROUP BY userIdentity.userName, sourceIPAddress\nORDER BY attempts DESC\nLIMIT 50";
    for (time, conditions) in [
        (
            "yesterday",
            "    AND eventTime >= '2026-11-22 00:00:00'\n    AND eventTime < '2026-11-23 00:00:00'\n",
        ),
        ("today", "    AND eventTime >= '2026-11-23 00:00:00'\n"),
        ("last week", "    AND eventTime >= '2026-11-16 10:30:00'\n"),
        ("in the past 3 hours", "    AND eventTime >= '2026-11-23 07:30:00'\n"),
        ("of the last two days", "    AND eventTime >= '2026-11-21 10:30:00'\n"),
        ("this month", "    AND eventTime >= '2026-11-01 00:00:00'\n"),
        ("since 2026-01-01", "    AND eventTime >= '2026-01-01 00:00:00'\n"),
        ("since 2026-01-01T08:00:00Z", "    AND eventTime >= '2026-01-01 08:00:00'\n"),
        ("before 2026-01-01", "    AND eventTime < '2026-01-01 00:00:00'\n"),
        (
            "between 2026-01-01 and 2026-01-31",
            "    AND eventTime >= '2026-01-01 00:00:00'\n    AND eventTime < '2026-02-01 00:00:00'\n",
        ),
        (
            "on 2026-01-01",
            "    AND eventTime >= '2026-01-01 00:00:00'\n    AND eventTime < '2026-01-02 00:00:00'\n",
        ),
        ("", ""),
    ] {
        generates(&format!("failed console logins {time}"), &all.replace("{}", conditions));
    }
}

#[test]
fn names_become_conditions() {
    let newest = |condition: &str| {
        format!("FROM $EDS_ID\nWHERE {condition}\nORDER BY eventTime DESC\nLIMIT 100")
    };
    generates(
        "What did alice do yesterday?",
        &newest(
            "eventTime >= '2026-11-22 00:00:00'\n    AND eventTime < '2026-11-23 00:00:00'\n    AND (userIdentity.userName = 'alice' OR userIdentity.arn LIKE '%/alice')",
        ),
    );
    generates("events from 192.0.2.7", &newest("sourceIPAddress = '192.0.2.7'"));
    generates("DeleteBucket", &newest("eventName = 'DeleteBucket'"));
    generates(
        "show all events by user arn:aws:iam::111122223333:user/bob",
        &newest("userIdentity.arn = 'arn:aws:iam::111122223333:user/bob'"),
    );
    generates("events in eu-west-1", &newest("awsRegion = 'eu-west-1'"));
    generates(
        "top 5 users of s3",
        "FROM $EDS_ID\nWHERE userIdentity.arn IS NOT NULL\n    AND eventSource = 's3.amazonaws.com'\nGROUP BY userIdentity.arn\nORDER BY events DESC\nLIMIT 5",
    );
    generates("what did o'brien do", "");
}

#[test]
fn what_fits_nothing_gives_nothing() {
    let samples = SampleQueries::default();
    for prompt in ["what is the weather like", "xyzzy", "hello there", "sing a song"] {
        assert_eq!(samples.generate(prompt, NOW.parse().unwrap()), None, "{prompt}");
    }
}

#[test]
fn quotes_in_names_cannot_leave_their_literal() {
    let samples = SampleQueries::default();
    let prompt = "what did user arn:aws:iam::1:user/x'OR'1'='1 do";
    let sql = samples.generate(prompt, NOW.parse().unwrap()).unwrap();
    assert!(sql.contains("'arn:aws:iam::1:user/x''OR''1''=''1'"), "{sql}");
}

proptest::proptest! {
    #[test]
    fn any_prompt_is_taken(prompt in ".{0,500}") {
        let samples = SampleQueries::default();
        samples.generate(&prompt, NOW.parse().unwrap());
    }
}
