use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

fn place() -> Place {
    Place {
        prefix: None,
        organization: None,
        account: "111122223333".to_owned(),
        region: "us-east-2".to_owned(),
    }
}

fn check_parse(key: &str, expected: Expect) {
    let line = match ObjectKey::parse(key) {
        None => "not a CloudTrail key".to_owned(),
        Some(ObjectKey::LogFile(k)) => {
            let Place { prefix, organization, account, region } = k.place;
            format!(
                "log {prefix:?} {organization:?} {account} {region} {:?} {} {}",
                k.folder, k.delivered_at, k.unique
            )
        }
        Some(ObjectKey::Digest(k)) => {
            let Place { prefix, organization, account, region } = k.place;
            format!(
                "digest {prefix:?} {organization:?} {account} {region} {} home {} {} backfill {}",
                k.trail_name, k.home_region, k.end, k.backfill
            )
        }
        Some(ObjectKey::Marker(k)) => format!("marker {:?} {} {:?}", k.prefix, k.account, k.folder),
    };
    expected.assert_eq(&line);
}

#[test]
fn keys_that_aws_documents_are_read() {
    check_parse(
        "AWSLogs/111122223333/CloudTrail/us-east-2/2015/08/17/111122223333_CloudTrail_us-east-2_20150817T1445Z_9nYN7gp2eWAJHIfT.json.gz",
        expect![[
            r#"log None None 111122223333 us-east-2 CloudTrail 2015-08-17T14:45:00Z 9nYN7gp2eWAJHIfT"#
        ]],
    );
    check_parse(
        "a/b/AWSLogs/o-abcde12345/111122223333/CloudTrail-Digest/us-east-2/2015/08/20/111122223333_CloudTrail-Digest_us-east-2_my_trail_name_us-west-1_20150820T180131Z.json.gz",
        expect![[
            r#"digest Some("a/b") Some("o-abcde12345") 111122223333 us-east-2 my_trail_name home us-west-1 2015-08-20T18:01:31Z backfill false"#
        ]],
    );
    check_parse(
        "AWSLogs/111122223333/CloudTrail-Digest/us-east-2/2015/08/20/111122223333_CloudTrail-Digest_us-east-2_t_us-west-1_20150820T180131Z_backfill.json.gz",
        expect![
            "digest None None 111122223333 us-east-2 t home us-west-1 2015-08-20T18:01:31Z backfill true"
        ],
    );
    check_parse(
        "p/AWSLogs/111122223333/CloudTrail-Insight/",
        expect![[r#"marker Some("p") 111122223333 Insight"#]],
    );
}

#[test]
fn keys_that_disagree_with_themselves_are_refused() {
    for key in [
        "",
        "AWSLogs",
        "AWSLogs/111122223333/CloudTrail",
        // Another day's folder, another account's name, another folder's name, a short unique part.
        "AWSLogs/111122223333/CloudTrail/us-east-2/2015/08/18/111122223333_CloudTrail_us-east-2_20150817T1445Z_9nYN7gp2eWAJHIfT.json.gz",
        "AWSLogs/111122223333/CloudTrail/us-east-2/2015/08/17/111122223334_CloudTrail_us-east-2_20150817T1445Z_9nYN7gp2eWAJHIfT.json.gz",
        "AWSLogs/111122223333/CloudTrail/us-east-2/2015/08/17/111122223333_CloudTrail-Insight_us-east-2_20150817T1445Z_9nYN7gp2eWAJHIfT.json.gz",
        "AWSLogs/111122223333/CloudTrail/us-east-2/2015/08/17/111122223333_CloudTrail_us-east-2_20150817T1445Z_9nYN7gp2eWAJHIf.json.gz",
        "AWSLogs/111122223333/CloudTrail/us-east-2/2015/02/30/111122223333_CloudTrail_us-east-2_20150230T1445Z_9nYN7gp2eWAJHIfT.json.gz",
        "AWSLogs/1111/CloudTrail/",
        "AWSLogs/111122223333/Config/",
    ] {
        check_parse(key, expect!["not a CloudTrail key"]);
    }
}

#[test]
fn a_window_is_told_from_all_others() {
    let arn = "arn:aws:cloudtrail:us-east-1:111122223333:trail/audit";
    let which = |seq| which_window("n", arn, "111122223333", "us-east-1", Folder::CloudTrail, seq);
    assert_eq!(which(7).len(), 13);
    assert_eq!(which(7), which(7));
    assert_ne!(which(7), which(8));
    let other_node = which_window("m", arn, "111122223333", "us-east-1", Folder::CloudTrail, 7);
    assert_ne!(which(7), other_node);
    assert_ne!(
        which_window("n", "ab", "c", "r", Folder::CloudTrail, 1),
        which_window("n", "a", "bc", "r", Folder::CloudTrail, 1)
    );
}

#[test]
fn later_files_of_a_minute_sort_after_earlier_ones() {
    let name = |ms| unique_part(Timestamp::from_millisecond(ms).unwrap(), "zzzzzzzzzzzzz");
    let names: Vec<String> =
        (0..60_000).step_by(7).map(|ms| name(60_000 * 29_000_000 + ms)).collect();
    assert!(names.is_sorted_by(|a, b| a < b));
    assert!(names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric())));
    assert_eq!([name(0), name(59_999)], ["000zzzzzzzzzzzzz", "Fbjzzzzzzzzzzzzz"]);
}

#[test]
fn every_character_of_what_tells_windows_apart_is_about_equally_likely() {
    let mut counts = [0_u32; 128];
    for seq in 0..4000 {
        for byte in which_window("n", "t", "a", "r", Folder::CloudTrail, seq).bytes() {
            counts[usize::from(byte)] += 1;
        }
    }
    let used: Vec<u32> = counts.into_iter().filter(|count| *count > 0).collect();
    assert_eq!(used.len(), 62);
    // 52,000 draws over 62 characters: 839 each on average, five standard deviations are 144.
    assert!(used.iter().all(|count| (695..983).contains(count)), "{used:?}");
}

#[test]
fn prefixes_that_leave_their_folder_are_refused() {
    assert_eq!(check_prefix("audit/prod logs"), Ok(()));
    assert_eq!(check_prefix("/audit"), Err(PrefixFault::LeadingSlash));
    assert_eq!(check_prefix("x/AWSLogs/y"), Err(PrefixFault::ContainsAwsLogs));
    assert_eq!(check_prefix("a/../../etc"), Err(PrefixFault::DotSegment));
    assert_eq!(check_prefix("a\u{0}b"), Err(PrefixFault::ControlCharacter));
    assert_eq!(check_prefix(&"a".repeat(201)), Err(PrefixFault::TooLong));
    assert_eq!(check_prefix(&"a".repeat(200)), Ok(()));
}

fn any_place() -> impl Strategy<Value = Place> {
    (
        proptest::option::of("[a-zA-Z0-9 ._~-]{1,8}(/[a-z]{1,5}){0,2}"),
        proptest::option::of("o-[a-z0-9]{10}"),
        "[0-9]{12}",
        "[a-z]{2}-[a-z]{4,9}-[1-9]",
    )
        .prop_map(|(prefix, organization, account, region)| Place {
            prefix,
            organization,
            account,
            region,
        })
}

fn any_key() -> impl Strategy<Value = ObjectKey> {
    let seconds = 0_i64..4_000_000_000;
    let folder = proptest::sample::select(&Folder::ALL[..4]);
    prop_oneof![
        (any_place(), folder, seconds.clone(), "[A-Za-z0-9]{16}").prop_map(
            |(place, folder, s, unique)| ObjectKey::LogFile(LogFileKey {
                place,
                folder,
                delivered_at: Timestamp::from_second(s - s % 60).expect("in range"),
                unique,
            })
        ),
        (any_place(), "[A-Za-z0-9][A-Za-z0-9._-]{1,20}[A-Za-z0-9]", seconds, any::<bool>())
            .prop_map(|(place, trail_name, s, backfill)| ObjectKey::Digest(DigestKey {
                home_region: place.region.clone(),
                place,
                trail_name,
                end: Timestamp::from_second(s).expect("in range"),
                backfill,
            })),
        (any_place(), proptest::sample::select(&Folder::ALL[..])).prop_map(|(place, folder)| {
            ObjectKey::Marker(MarkerKey {
                prefix: place.prefix,
                organization: place.organization,
                account: place.account,
                folder,
            })
        }),
    ]
}

proptest! {
    #[test]
    fn a_key_says_what_it_was_made_from(key in any_key()) {
        prop_assert_eq!(ObjectKey::parse(&key.to_string()), Some(key));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,80}", key in any_key(), cut in 0_usize..200) {
        let _ = ObjectKey::parse(&text);
        let key = key.to_string();
        let cut = key.floor_char_boundary(cut.min(key.len()));
        if let Some(parsed) = ObjectKey::parse(&key[..cut]) {
            prop_assert_eq!(parsed.to_string(), &key[..cut]);
        }
    }
}

#[test]
fn a_log_file_key_is_made_of_its_minute() {
    let key = LogFileKey {
        place: place(),
        folder: Folder::CloudTrail,
        delivered_at: "2015-08-17T14:45:59.9Z".parse().expect("a time"),
        unique: "9nYN7gp2eWAJHIfT".to_owned(),
    };
    assert!(key.to_string().ends_with("_20150817T1445Z_9nYN7gp2eWAJHIfT.json.gz"), "{key}");
}
