use super::*;

const TRAIL: &str = "arn:aws:cloudtrail:us-east-1:111111111111:trail/audit";
const OBJECT: &str = "arn:aws:s3:::logs/AWSLogs/111111111111/CloudTrail/x.json.gz";
const CLOUDTRAIL: Asker<'_> = Asker::Service("cloudtrail.amazonaws.com");

/// The policy that the CloudTrail user guide asks for on a trail's bucket.
fn bucket_policy() -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[
        {{"Sid":"AclCheck","Effect":"Allow","Principal":{{"Service":"cloudtrail.amazonaws.com"}},
          "Action":"s3:GetBucketAcl","Resource":"arn:aws:s3:::logs",
          "Condition":{{"StringEquals":{{"aws:SourceArn":"{TRAIL}"}}}}}},
        {{"Sid":"Write","Effect":"Allow","Principal":{{"Service":"cloudtrail.amazonaws.com"}},
          "Action":"s3:PutObject","Resource":"arn:aws:s3:::logs/AWSLogs/111111111111/*",
          "Condition":{{"StringEquals":{{"s3:x-amz-acl":"bucket-owner-full-control","aws:SourceArn":"{TRAIL}"}}}}}}]}}"#
    )
}

#[test]
fn the_documented_bucket_policy_admits_the_trail_and_nothing_else() {
    let good = [("aws:SourceArn", TRAIL), ("S3:X-Amz-Acl", "bucket-owner-full-control")];
    let question =
        Question { asker: CLOUDTRAIL, action: "s3:PutObject", resource: OBJECT, context: &good };
    let policy = bucket_policy();
    assert_eq!(validate(&policy), Ok(()));
    assert!(allows(&policy, &question));
    assert!(allows(&policy, &Question { action: "S3:PUTOBJECT", ..question }));
    let acl = Question { action: "s3:GetBucketAcl", resource: "arn:aws:s3:::logs", ..question };
    assert!(allows(&policy, &acl));

    let other = "arn:aws:cloudtrail:us-east-1:111111111111:trail/audit2";
    for refused in [
        Question { asker: Asker::Service("config.amazonaws.com"), ..question },
        Question { asker: Asker::Anonymous, ..question },
        Question {
            asker: Asker::Account {
                account: "111111111111",
                arn: "arn:aws:iam::111111111111:root",
                role: None,
            },
            ..question
        },
        Question { action: "s3:DeleteObject", ..question },
        Question { resource: "arn:aws:s3:::logs-2/AWSLogs/111111111111/x", ..question },
        Question { resource: "arn:aws:s3:::logs/AWSLogs/222222222222/x", ..question },
        Question { context: &good[..1], ..question },
        Question { context: &good[1..], ..question },
        Question { context: &[("aws:SourceArn", other), good[1]], ..question },
        Question { context: &[], ..question },
    ] {
        assert!(!allows(&policy, &refused), "{refused:?}");
    }
    assert!(!allows("", &question));
    assert!(!allows(&policy[1..], &question));
}

/// One statement, asked about `s3:PutObject` on `OBJECT`.
#[track_caller]
fn check(statement: &str, asker: Asker<'_>, context: &[(&str, &str)], expected: Decision) {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":{{{statement}}}}}"#);
    let policy = Policy::parse(&text, PolicyKind::Resource).unwrap();
    let question = Question { asker, action: "s3:PutObject", resource: OBJECT, context };
    assert_eq!(policy.decide(&question), expected, "{statement}");
}

use Decision::{Allowed, ExplicitlyDenied, NotAllowed};

#[test]
fn a_deny_wins_whatever_the_order() {
    let allow = r#"{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}"#;
    let deny = r#"{"Effect":"Deny","Principal":"*","Action":"s3:Put*","Resource":"*"}"#;
    for statements in [format!("{allow},{deny}"), format!("{deny},{allow}")] {
        let policy = format!(r#"{{"Statement":[{statements}]}}"#);
        let policy = Policy::parse(&policy, PolicyKind::Resource).unwrap();
        let ask = |action| {
            policy.decide(&Question {
                asker: Asker::Anonymous,
                action,
                resource: OBJECT,
                context: &[],
            })
        };
        assert_eq!(ask("s3:PutObject"), ExplicitlyDenied);
        assert_eq!(ask("s3:GetObject"), Allowed);
    }
}

#[test]
fn principals_name_accounts_users_services_or_anyone() {
    let user = Asker::Account {
        account: "111111111111",
        arn: "arn:aws:iam::111111111111:user/ann",
        role: None,
    };
    let session = Asker::Account {
        account: "111111111111",
        arn: "arn:aws:sts::111111111111:assumed-role/audit/ann",
        role: Some("arn:aws:iam::111111111111:role/audit"),
    };
    for (principal, asker, expected) in [
        (r#""*""#, user, Allowed),
        (r#""*""#, Asker::Anonymous, Allowed),
        (r#"{"AWS":"*"}"#, CLOUDTRAIL, Allowed),
        (r#"{"AWS":"111111111111"}"#, user, Allowed),
        (r#"{"AWS":["arn:aws:iam::111111111111:root"]}"#, user, Allowed),
        (r#"{"AWS":"arn:aws:iam::111111111111:user/ann"}"#, user, Allowed),
        (r#"{"AWS":"arn:aws:iam::111111111111:user/an"}"#, user, NotAllowed),
        (r#"{"AWS":"arn:aws:iam::111111111111:user/*"}"#, user, NotAllowed),
        (r#"{"AWS":"222222222222"}"#, user, NotAllowed),
        (r#"{"AWS":"arn:aws:iam::111111111111:role/audit"}"#, session, Allowed),
        (r#"{"AWS":"arn:aws:sts::111111111111:assumed-role/audit/ann"}"#, session, Allowed),
        (r#"{"AWS":"arn:aws:iam::111111111111:role/audit"}"#, user, NotAllowed),
        (r#"{"AWS":"111111111111"}"#, Asker::Anonymous, NotAllowed),
        (r#"{"Service":"cloudtrail.amazonaws.com"}"#, user, NotAllowed),
        (r#"{"Service":["a.amazonaws.com","cloudtrail.amazonaws.com"]}"#, CLOUDTRAIL, Allowed),
        (r#"{"Federated":"cloudtrail.amazonaws.com"}"#, CLOUDTRAIL, NotAllowed),
    ] {
        let statement =
            format!(r#""Effect":"Allow","Principal":{principal},"Action":"s3:*","Resource":"*""#);
        check(&statement, asker, &[], expected);
    }
}

#[test]
fn not_action_and_not_resource_are_everything_else() {
    for (lists, expected) in [
        (r#""NotAction":"s3:PutObject","Resource":"*""#, NotAllowed),
        (r#""NotAction":"s3:Get*","Resource":"*""#, Allowed),
        (r#""Action":"*","NotResource":"arn:aws:s3:::logs/*""#, NotAllowed),
        (r#""Action":"*","NotResource":"arn:aws:s3:::other/*""#, Allowed),
        (r#""Action":"s3:?utObject","Resource":"arn:aws:s3:::log?/*/CloudTrail/*.gz""#, Allowed),
    ] {
        check(&format!(r#""Effect":"Allow","Principal":"*",{lists}"#), CLOUDTRAIL, &[], expected);
    }
}

#[test]
fn conditions_hold_as_aws_documents() {
    let context = [("k", "Abc"), ("arn", TRAIL), ("b", "true")];
    for (condition, holds) in [
        (r#"{"StringEquals":{"k":"Abc"}}"#, true),
        (r#"{"StringEquals":{"K":["x","Abc"]}}"#, true),
        (r#"{"StringEquals":{"k":"abc"}}"#, false),
        (r#"{"StringEquals":{"k":"A*"}}"#, false),
        (r#"{"StringEqualsIgnoreCase":{"k":"aBC"}}"#, true),
        (r#"{"StringNotEquals":{"k":["x","y"]}}"#, true),
        (r#"{"StringNotEquals":{"k":["x","Abc"]}}"#, false),
        (r#"{"StringNotEquals":{"absent":"x"}}"#, true),
        (r#"{"StringEquals":{"absent":"x"}}"#, false),
        (r#"{"StringEqualsIfExists":{"absent":"x"}}"#, true),
        (r#"{"StringEqualsIfExists":{"k":"x"}}"#, false),
        (r#"{"StringLike":{"k":"?b*"}}"#, true),
        (r#"{"StringNotLike":{"k":"?b*"}}"#, false),
        (r#"{"ArnLike":{"arn":"arn:aws:cloudtrail:*:111111111111:trail/*"}}"#, true),
        (r#"{"ArnEquals":{"arn":"arn:aws:cloudtrail:us-east-?:*:trail/audit"}}"#, true),
        (r#"{"ArnLike":{"arn":"arn:aws:*"}}"#, false),
        (r#"{"ArnNotLike":{"arn":"arn:aws:cloudtrail:*:111111111111:trail/*"}}"#, false),
        (r#"{"Bool":{"b":"TRUE"}}"#, true),
        (r#"{"Bool":{"b":true}}"#, true),
        (r#"{"Bool":{"b":false}}"#, false),
        (r#"{"Null":{"k":"false"}}"#, true),
        (r#"{"Null":{"k":true}}"#, false),
        (r#"{"Null":{"absent":"true"}}"#, true),
        (r#"{"StringEquals":{"k":"Abc"},"Bool":{"b":"false"}}"#, false),
        (r#"{"StringEquals":{"k":"Abc","arn":"x"}}"#, false),
    ] {
        for (effect, applied) in [("Allow", Allowed), ("Deny", ExplicitlyDenied)] {
            let expected = if holds { applied } else { NotAllowed };
            let statement = format!(
                r#""Effect":"{effect}","Principal":"*","Action":"*","Resource":"*","Condition":{condition}"#
            );
            check(&statement, CLOUDTRAIL, &context, expected);
        }
    }
}

/// One condition of an Allow, with two tags and a time in the context.
#[track_caller]
fn check_condition(condition: &str, holds: bool) {
    let context = [
        ("aws:SourceIp", "203.0.113.7"),
        ("aws:CurrentTime", "2026-11-23T12:00:00Z"),
        ("n", "5"),
        ("aws:TagKeys", "team"),
        ("aws:TagKeys", "cost"),
        ("aws:username", "a*n"),
    ];
    let statement = format!(
        r#""Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{condition}"#
    );
    check(&statement, CLOUDTRAIL, &context, if holds { Allowed } else { NotAllowed });
}

#[test]
fn addresses_dates_and_numbers_are_compared_as_such() {
    for (condition, holds) in [
        (r#"{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}"#, true),
        (r#"{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","203.0.113.7"]}}"#, true),
        (r#"{"IpAddress":{"aws:SourceIp":"203.0.114.0/24"}}"#, false),
        (r#"{"IpAddress":{"aws:SourceIp":"2001:db8::/32"}}"#, false),
        (r#"{"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}}"#, false),
        (r#"{"NotIpAddress":{"absent":"203.0.113.0/24"}}"#, true),
        (r#"{"DateGreaterThan":{"aws:CurrentTime":"2026-11-23T11:59:59Z"}}"#, true),
        (r#"{"DateLessThan":{"aws:CurrentTime":"2026-11-23"}}"#, false),
        (r#"{"DateEquals":{"aws:CurrentTime":"2026-11-23T13:00:00+01:00"}}"#, true),
        (r#"{"DateNotEquals":{"aws:CurrentTime":"1795435200"}}"#, false),
        (r#"{"NumericLessThanEquals":{"n":5}}"#, true),
        (r#"{"NumericLessThan":{"n":"5.0"}}"#, false),
        (r#"{"NumericGreaterThanIfExists":{"absent":5}}"#, true),
        (r#"{"ForAllValues:StringEquals":{"aws:TagKeys":["team","cost","env"]}}"#, true),
        (r#"{"ForAllValues:StringEquals":{"aws:TagKeys":["team"]}}"#, false),
        (r#"{"ForAllValues:StringEquals":{"absent":["team"]}}"#, true),
        (r#"{"ForAnyValue:StringEquals":{"aws:TagKeys":["cost"]}}"#, true),
        (r#"{"ForAnyValue:StringLike":{"aws:TagKeys":["x*"]}}"#, false),
        (r#"{"ForAnyValue:StringEquals":{"absent":["team"]}}"#, false),
        (r#"{"ForAnyValue:StringNotEquals":{"aws:TagKeys":["team"]}}"#, true),
        (r#"{"ForAllValues:StringNotEquals":{"aws:TagKeys":["team"]}}"#, false),
    ] {
        check_condition(condition, holds);
    }
}

#[test]
fn variables_stand_for_texts_and_not_for_patterns() {
    let resource = |resource: &str, version: &str, expected| {
        let text = format!(
            r#"{{"Version":"{version}","Statement":{{"Effect":"Allow","Action":"*","Resource":"{resource}"}}}}"#
        );
        let policy = Policy::parse(&text, PolicyKind::Identity).unwrap();
        let question = Question {
            asker: CLOUDTRAIL,
            action: "s3:PutObject",
            resource: OBJECT,
            context: &[("aws:username", "x.json.gz"), ("star", "*"), ("id", "arn:aws:s3")],
        };
        assert_eq!(policy.decide(&question), expected, "{resource}");
    };
    let new = "2012-10-17";
    resource("arn:aws:s3:::logs/*/${aws:username}", new, Allowed);
    resource("arn:aws:s3:::logs/*/${AWS:UserName}", new, Allowed);
    resource("arn:aws:s3:::logs/*/${aws:username}", "2008-10-17", NotAllowed);
    resource("arn:aws:s3:::logs/${star}", new, NotAllowed);
    resource("arn:aws:s3:::logs/${*}", new, NotAllowed);
    resource("arn:aws:s3:::logs/${absent}", new, NotAllowed);
    resource("arn:aws:s3:::logs/*/${absent, 'x.json.gz'}", new, Allowed);
    check_condition(r#"{"StringLike":{"aws:username":"${aws:username}"}}"#, true);
    check_condition(r#"{"StringLike":{"n":"${aws:username}"}}"#, false);
}

#[test]
fn a_variable_of_unknown_value_never_allows_and_always_denies() {
    for rest in [
        r#""Resource":"*","Condition":{"StringNotEquals":{"k":"${aws:username}"}}"#,
        r#""Resource":"arn:aws:s3:::logs/${aws:username}/*""#,
        r#""NotResource":"arn:aws:s3:::logs/${aws:username}/*""#,
    ] {
        let statement =
            |effect| format!(r#""Effect":"{effect}","Principal":"*","Action":"*",{rest}"#);
        check(&statement("Allow"), CLOUDTRAIL, &[("k", "v")], NotAllowed);
        check(&statement("Deny"), CLOUDTRAIL, &[("k", "v")], ExplicitlyDenied);
    }
    // Unknown, but about another action.
    let other =
        r#""Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"${aws:username}""#;
    let other = other.replace("\"${", "\"arn:${");
    check(&other, CLOUDTRAIL, &[], NotAllowed);
}

#[test]
fn a_trust_policy_is_about_its_role() {
    let text = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"222222222222"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"x"}}}]}"#;
    let policy = Policy::parse(text, PolicyKind::Trust).unwrap();
    let asker = Asker::Account {
        account: "222222222222",
        arn: "arn:aws:iam::222222222222:user/eve",
        role: None,
    };
    let ask = |context| {
        let resource = "arn:aws:iam::111111111111:role/audit";
        policy.decide(&Question { asker, action: "sts:AssumeRole", resource, context })
    };
    assert_eq!(ask(&[("sts:ExternalId", "x")]), Allowed);
    assert_eq!(ask(&[]), NotAllowed);
    let with_resource = text.replace("\"Action", "\"Resource\":\"*\",\"Action");
    assert!(Policy::parse(&with_resource, PolicyKind::Trust).is_err());
}

#[test]
fn a_malformed_policy_is_refused_with_the_reason() {
    let whole =
        |statement: &str| format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#);
    let base = r#""Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*""#;
    assert_eq!(validate(&whole(&format!("{{{base}}}"))), Ok(()));
    for (text, reason) in [
        ("[]".to_owned(), "first byte"),
        (" {}".to_owned(), "first byte"),
        ("{".to_owned(), "valid JSON"),
        ("{}".to_owned(), "Statement"),
        (whole(""), "no statement"),
        (r#"{"Version":"2020-01-01","Statement":[]}"#.to_owned(), "version"),
        (r#"{"Statement":[],"Statement":[]}"#.to_owned(), "twice"),
        (whole("{}"), "Effect"),
        (whole(&format!("{{{base},\"Extra\":1}}")), "Extra"),
        (
            whole(&format!("{{{base}}},{{{}", &format!("{base}}}").replace("Allow", "Permit"))),
            "effect",
        ),
        (whole(&format!("{{{}}}", base.replace(r#""Principal":"*","#, ""))), "Principal"),
        (whole(&format!("{{{}}}", base.replace("Principal", "NotPrincipal"))), "NotPrincipal"),
        (whole(&format!("{{{}}}", base.replace(r#"l":"*""#, r#"l":"ann""#))), "principal"),
        (whole(&format!("{{{}}}", base.replace("s3:*", "s3"))), "action"),
        (whole(&format!("{{{}}}", base.replace(r#""s3:*""#, "[]"))), "action"),
        (whole(&format!("{{{base},\"NotAction\":\"s3:Get*\"}}")), "NotAction"),
        (whole(&format!("{{{}}}", base.replace(r#"e":"*""#, r#"e":"logs""#))), "resource"),
        (
            whole(&format!("{{{base},\"Condition\":{{\"StringEqual\":{{\"k\":\"v\"}}}}}}")),
            "StringEqual",
        ),
        (
            whole(&format!("{{{base},\"Condition\":{{\"NullIfExists\":{{\"k\":\"v\"}}}}}}")),
            "NullIfExists",
        ),
        (
            whole(&format!("{{{base},\"Condition\":{{\"IpAddress\":{{\"k\":\"v\"}}}}}}")),
            "Invalid value",
        ),
        (whole(&format!("{{\"Sid\":\"a\",{base}}},{{\"Sid\":\"a\",{base}}}")), "unique"),
        (format!("{{{}}}", " ".repeat(21_000)), "long"),
        (format!("{{\"Id\":{}1", "[".repeat(5000)), "valid JSON"),
    ] {
        let error = validate(&text).unwrap_err().to_string();
        assert!(error.contains(reason), "{error:?} should mention {reason:?}");
    }
}

#[test]
fn an_identity_policy_has_no_principal() {
    let text = r#"{"Statement":{"Effect":"Allow","Action":"cloudtrail:Get*","Resource":"*"}}"#;
    let policy = Policy::parse(text, PolicyKind::Identity).unwrap();
    let question = Question {
        asker: CLOUDTRAIL,
        action: "cloudtrail:GetTrail",
        resource: TRAIL,
        context: &[],
    };
    assert_eq!(policy.decide(&question), Allowed);
    let with_principal = text.replace("{\"Effect", "{\"Principal\":\"*\",\"Effect");
    assert!(Policy::parse(&with_principal, PolicyKind::Identity).is_err());
    assert!(validate(text).is_err());
}

#[test]
fn wildcards_match_like_a_slow_and_obvious_matcher() {
    fn obvious(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|skip| obvious(rest, &text[skip..])),
            Some((first, rest)) => match text.split_first() {
                Some((head, tail)) => (*first == '?' || first == head) && obvious(rest, tail),
                None => false,
            },
        }
    }
    use proptest::prelude::*;
    proptest!(|(pattern in "[ab*?é]{0,8}", text in "[abé]{0,8}")| {
        let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
        let fits = Pattern::new(&pattern, true, None).is_some_and(|p| p.fits(&text));
        prop_assert_eq!(fits, obvious(&p, &t));
    });
}
