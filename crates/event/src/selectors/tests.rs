use expect_test::{Expect, expect};

use super::*;
use crate::Limits;

/// Parses selectors in a short form: JSON with single quotes.
fn selectors(text: &str) -> EventSelectors {
    let json = text.replace('\'', "\"");
    let member =
        if json.contains("FieldSelectors") { "AdvancedEventSelectors" } else { "EventSelectors" };
    serde_json::from_str(&format!("{{\"{member}\":{json}}}")).unwrap()
}

/// `changes`: members of the record in short form; the required ones are added.
fn explained(selector: &EventSelectors, changes: &str) -> String {
    let mut record: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&format!("{{{}}}", changes.replace('\'', "\""))).unwrap();
    for (name, value) in [
        ("eventTime", "2026-01-02T03:04:05Z"),
        ("eventSource", "s3.amazonaws.com"),
        ("eventName", "GetObject"),
        ("awsRegion", "us-east-1"),
    ] {
        record.entry(name).or_insert_with(|| value.into());
    }
    let raw = serde_json::to_vec(&record).unwrap();
    let header = crate::check(&raw, &Limits::default()).unwrap();
    let matcher = selector.compile();
    let explanation = matcher.explain(&header);
    assert_eq!(matcher.matches(&header), explanation.starts_with("match: "), "{explanation}");
    explanation
}

/// Each row: members of an event, and whether the selectors want it.
#[track_caller]
fn check(text: &str, rows: &[(&str, bool)]) {
    let selectors = selectors(text);
    for (event, expected) in rows {
        let explanation = explained(&selectors, event);
        assert_eq!(explanation.starts_with("match: "), *expected, "{event}: {explanation}");
    }
}

#[track_caller]
fn check_valid(text: &str, expected: Expect) {
    let outcome = selectors(text).validate_for_trail();
    expected.assert_eq(&outcome.map_or_else(|e| e.to_string(), |()| "valid".to_owned()));
}

#[track_caller]
fn check_store(text: &str, expected: Expect) {
    let outcome = selectors(text).validate_for_event_data_store();
    expected.assert_eq(&outcome.map_or_else(|e| e.to_string(), |class| format!("{class:?}")));
}

fn advanced(category: &str, more: &str) -> String {
    format!("[{{'FieldSelectors':[{{'Field':'eventCategory','Equals':['{category}']}}{more}]}}]")
}

const DATA: &str = "'eventCategory':'Data'";

fn object(arn: &str) -> String {
    format!(
        "{DATA},'resources':[{{'type':'AWS::S3::Object','ARN':'{arn}'}},{{'type':'AWS::S3::Bucket','ARN':'arn:aws:s3:::b'}}]"
    )
}

#[test]
fn the_json_is_the_api_s_own() {
    assert_eq!(
        serde_json::to_string(&EventSelectors::default_for_trail()).unwrap(),
        r#"{"EventSelectors":[{"ReadWriteType":"All","IncludeManagementEvents":true,"DataResources":[],"ExcludeManagementEventSources":[]}]}"#
    );
    let sparse = r#"{"EventSelectors":[{"ReadWriteType":null,"DataResources":null}]}"#;
    assert_eq!(
        serde_json::from_str::<EventSelectors>(sparse).unwrap(),
        EventSelectors::default_for_trail()
    );
    let text = r#"{"AdvancedEventSelectors":[{"Name":"n","FieldSelectors":[{"Field":"readOnly","Equals":["true"]},{"Field":"eventCategory","Equals":["Data"]}]}]}"#;
    let parsed: EventSelectors = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&parsed).unwrap(), text);
    assert!(
        serde_json::to_string(&parsed.sorted_by_field())
            .unwrap()
            .contains(r#"[{"Field":"eventCategory""#)
    );
}

#[test]
fn the_default_selects_all_management_events_and_nothing_else() {
    let wanted = ["'readOnly':true", "'readOnly':false", "", "'eventSource':'kms.amazonaws.com'"];
    let rows: Vec<_> = wanted.iter().map(|event| (*event, true)).collect();
    check("[{}]", &rows);
    let others = ["Data", "NetworkActivity", "Insight", "Aggregated", "ActivityAuditLog"];
    for category in others {
        check("[{}]", &[(&format!("'eventCategory':'{category}'"), false)]);
    }
}

#[test]
fn basic_read_write_types_select_by_read_only() {
    let rows = |all: bool, read: bool, write: bool| {
        [
            ("", all),
            ("'readOnly':true", read),
            ("'readOnly':'true'", read),
            ("'readOnly':false", write),
        ]
    };
    check("[{'ReadWriteType':'All'}]", &rows(true, true, true));
    check("[{'ReadWriteType':'ReadOnly'}]", &rows(false, true, false));
    check("[{'ReadWriteType':'WriteOnly'}]", &rows(false, false, true));
    check("[{'ReadWriteType':'ReadOnly'},{'ReadWriteType':'WriteOnly'}]", &rows(false, true, true));
    check("[{'IncludeManagementEvents':false}]", &rows(false, false, false));
}

#[test]
fn basic_selectors_leave_out_the_excluded_sources_only() {
    check(
        "[{'ExcludeManagementEventSources':['kms.amazonaws.com']}]",
        &[
            ("'eventSource':'kms.amazonaws.com'", false),
            ("'eventSource':'rdsdata.amazonaws.com'", true),
            ("", true),
        ],
    );
}

#[test]
fn a_bucket_does_not_match_its_neighbour() {
    let check_objects = |value: &str, rows: &[(&str, bool)]| {
        let text =
            format!("[{{'DataResources':[{{'Type':'AWS::S3::Object','Values':['{value}']}}]}}]");
        for (arn, expected) in rows {
            check(&text, &[(&object(arn), *expected)]);
        }
    };
    let inside = "arn:aws:s3:::logs/x";
    let neighbour = "arn:aws:s3:::logs-other/x";
    check_objects("arn:aws:s3", &[(inside, true), (neighbour, true)]);
    check_objects("arn:aws:s3:::", &[(inside, true), (neighbour, true)]);
    check_objects("arn:aws:s3:::logs/", &[(inside, true), (neighbour, false)]);
    check_objects("arn:aws:s3:::logs", &[(inside, true), (neighbour, false)]);
    check_objects(
        "arn:aws:s3:::logs/x",
        &[(inside, true), ("arn:aws:s3:::logs/xy", true), ("arn:aws:s3:::logs/y", false)],
    );
    // A listing names a prefix instead of an object; management events of the bucket are no data.
    let text = "[{'IncludeManagementEvents':false,'DataResources':[{'Type':'AWS::S3::Object','Values':['arn:aws:s3:::logs/']}]}]";
    let listing = format!(
        "{DATA},'resources':[{{'type':'AWS::S3::Object','ARNPrefix':'arn:aws:s3:::logs/'}}]"
    );
    check(
        text,
        &[
            (&listing, true),
            ("'resources':[{'type':'AWS::S3::Object','ARN':'arn:aws:s3:::logs/x'}]", false),
            (DATA, false),
        ],
    );
}

#[test]
fn basic_functions_and_tables_match_exactly_with_their_streams() {
    let resource =
        |kind: &str, arn: &str| format!("{DATA},'resources':[{{'type':'{kind}','ARN':'{arn}'}}]");
    let function = "arn:aws:lambda:us-east-1:111122223333:function:f";
    let text = format!(
        "[{{'DataResources':[{{'Type':'AWS::Lambda::Function','Values':['{function}']}}]}}]"
    );
    check(
        &text,
        &[
            (&resource("AWS::Lambda::Function", function), true),
            (&resource("AWS::Lambda::Function", &format!("{function}:7")), true),
            (&resource("AWS::Lambda::Function", &format!("{function}2")), false),
        ],
    );
    let table = "arn:aws:dynamodb:us-east-1:111122223333:table/t";
    let text =
        format!("[{{'DataResources':[{{'Type':'AWS::DynamoDB::Table','Values':['{table}']}}]}}]");
    check(
        &text,
        &[
            (&resource("AWS::DynamoDB::Table", table), true),
            (&resource("AWS::DynamoDB::Stream", &format!("{table}/stream/2026")), true),
            (&resource("AWS::DynamoDB::Table", &format!("{table}2")), false),
        ],
    );
    let all = "[{'DataResources':[{'Type':'AWS::DynamoDB::Table','Values':['arn:aws:dynamodb']},{'Type':'AWS::Lambda::Function','Values':['arn:aws:lambda']}]}]";
    check(
        all,
        &[
            (&resource("AWS::DynamoDB::Stream", table), true),
            (&resource("AWS::Lambda::Function", function), true),
            (&object("arn:aws:s3:::b/x"), false),
        ],
    );
}

#[test]
fn every_operator_of_an_advanced_selector_does_what_it_says() {
    let name =
        |condition: &str| advanced("Management", &format!(",{{'Field':'eventName',{condition}}}"));
    let rows = |get: bool, put: bool, list: bool| {
        [
            ("'eventName':'GetObject'", get),
            ("'eventName':'PutObject'", put),
            ("'eventName':'ListBuckets'", list),
        ]
    };
    check(&name("'Equals':['GetObject','PutObject']"), &rows(true, true, false));
    check(&name("'NotEquals':['GetObject','PutObject']"), &rows(false, false, true));
    check(&name("'StartsWith':['Get','List']"), &rows(true, false, true));
    check(&name("'NotStartsWith':['Get','List']"), &rows(false, true, false));
    check(&name("'EndsWith':['Object']"), &rows(true, true, false));
    check(&name("'NotEndsWith':['Object']"), &rows(false, false, true));
    check(&name("'Equals':['ListBuckets'],'StartsWith':['Get']"), &rows(true, false, true));
    check(&name("'EndsWith':['Object'],'NotStartsWith':['Put']"), &rows(true, false, false));
    check(&name("'NotEquals':['GetObject'],'NotStartsWith':['List']"), &rows(false, true, false));
}

#[test]
fn an_absent_field_fails_positive_and_passes_negative_operators() {
    for (field, present) in [
        ("readOnly", "'readOnly':true"),
        ("userIdentity.arn", "'userIdentity':{'arn':'true'}"),
        ("errorCode", "'errorCode':'true'"),
        ("vpcEndpointId", "'vpcEndpointId':'true'"),
        ("eventType", "'eventType':'true'"),
        ("sessionCredentialFromConsole", "'sessionCredentialFromConsole':'true'"),
        ("resources.type", "'resources':[{'type':'true'}]"),
        ("resources.ARN", "'resources':[{'ARN':'true'}]"),
    ] {
        let with = |operator: &str| {
            advanced("Management", &format!(",{{'Field':'{field}','{operator}':['true']}}"))
        };
        check(&with("Equals"), &[("", false), (present, true)]);
        check(&with("StartsWith"), &[("", false), (present, true)]);
        check(&with("NotEquals"), &[("", true), (present, false)]);
        check(&with("NotEndsWith"), &[("", true), (present, false)]);
    }
    check(&advanced("Management", ",{'Field':'x','Equals':['1']}"), &[("'x':'1'", false)]);
}

#[test]
fn fields_are_joined_by_and_selectors_by_or() {
    let both = advanced(
        "Management",
        ",{'Field':'readOnly','Equals':['false']},{'Field':'eventSource','NotEquals':['kms.amazonaws.com']}",
    );
    check(
        &both,
        &[
            ("'readOnly':false", true),
            ("'readOnly':false,'eventSource':'kms.amazonaws.com'", false),
            ("'readOnly':true", false),
        ],
    );
    let either = "[{'FieldSelectors':[{'Field':'eventCategory','Equals':['Data']}]},{'FieldSelectors':[{'Field':'eventCategory','Equals':['NetworkActivity']}]}]";
    check(either, &[(DATA, true), ("'eventType':'AwsVpceEvents'", true), ("", false)]);
}

#[test]
fn resource_arns_count_only_for_the_selected_type() {
    let with = |condition: &str| {
        advanced(
            "Data",
            &format!(
                ",{{'Field':'resources.type','Equals':['AWS::S3::Object']}},{{'Field':'resources.ARN',{condition}}}"
            ),
        )
    };
    let logs = object("arn:aws:s3:::logs/x");
    let other = object("arn:aws:s3:::logs-other/x");
    check(&with("'StartsWith':['arn:aws:s3:::logs/']"), &[(&logs, true), (&other, false)]);
    check(&with("'NotStartsWith':['arn:aws:s3:::logs/']"), &[(&logs, false), (&other, true)]);
    // The bucket is a resource of the event too, but not one of the selected type.
    check(&with("'Equals':['arn:aws:s3:::b']"), &[(&logs, false)]);
    check(&with("'NotEquals':['arn:aws:s3:::logs/x']"), &[(&logs, false), (&other, true)]);
}

#[test]
fn an_explanation_says_what_stood_against_each_selector() {
    let text = advanced("Data", ",{'Field':'resources.ARN','StartsWith':['arn:aws:s3:::logs/']}");
    let explain = |text: &str, event: &str| explained(&selectors(text), event);
    expect![[r#"no match: selector 1: resources.ARN is ["arn:aws:s3:::logs-other/x", "arn:aws:s3:::b"], and it wants resources.ARN StartsWith ["arn:aws:s3:::logs/"]"#]]
        .assert_eq(&explain(&text, &object("arn:aws:s3:::logs-other/x")));
    expect![[r#"no match: selector 1: eventCategory is "Management", and it wants eventCategory Equals ["Data"]"#]]
        .assert_eq(&explain(&text, ""));
    expect![[r#"match: selector 1 wants eventCategory Equals ["Data"] and resources.ARN StartsWith ["arn:aws:s3:::logs/"]"#]].assert_eq(&explain(&text, &object("arn:aws:s3:::logs/x")));
    expect![[r#"no match: selector 1: readOnly is "true", and it selects WriteOnly; selector 2: it does not select Management events"#]].assert_eq(&explain("[{'ReadWriteType':'WriteOnly'},{'IncludeManagementEvents':false}]", "'readOnly':true"));
    expect!["no match: selector 1: it excludes kms.amazonaws.com"].assert_eq(&explain(
        "[{'ExcludeManagementEventSources':['kms.amazonaws.com']}]",
        "'eventSource':'kms.amazonaws.com'",
    ));
    expect!["match: selector 1 wants management events and 0 data resources, All"]
        .assert_eq(&explain("[{}]", ""));
}

#[test]
fn basic_selectors_are_refused_in_cloudtrail_s_words() {
    check_valid("[{}]", expect!["valid"]);
    check_valid("[]", expect!["Specify a valid number of selectors (1 to 5) for your trail"]);
    check_valid(
        "[{},{},{},{},{},{}]",
        expect!["Specify a valid number of selectors (1 to 5) for your trail"],
    );
    check_valid("[{'ReadWriteType':'Some'}]", expect!["Value Some for ReadWriteType is invalid."]);
    check_valid(
        "[{'ExcludeManagementEventSources':['kms.amazonaws.com','rdsdata.amazonaws.com']}]",
        expect!["valid"],
    );
    check_valid(
        "[{'ExcludeManagementEventSources':['s3.amazonaws.com']}]",
        expect!["Value s3.amazonaws.com for ExcludeManagementEventSources is invalid."],
    );
    let data = |kind: &str, values: &str| {
        format!("[{{'DataResources':[{{'Type':'{kind}','Values':[{values}]}}]}}]")
    };
    check_valid(
        &data(
            "AWS::S3::Object",
            "'arn:aws:s3','arn:aws:s3:::','arn:aws:s3:::b/','arn:aws:s3:::b/p'",
        ),
        expect!["valid"],
    );
    check_valid(&data("AWS::Lambda::Function", "'arn:aws:lambda'"), expect!["valid"]);
    check_valid(
        &data("AWS::SNS::Topic", "'arn:aws:sns'"),
        expect!["Value AWS::SNS::Topic for DataResources.Type is invalid."],
    );
    check_valid(
        &data("AWS::S3::Object", ""),
        expect!["Specify at least one value for DataResources of type AWS::S3::Object."],
    );
    check_valid(
        &data("AWS::S3::Object", "'b/'"),
        expect!["Value b/ for DataResources.Values is invalid."],
    );
    check_valid(
        &data("AWS::S3::Object", "'arn:aws:lambda'"),
        expect!["Value arn:aws:lambda for DataResources.Values is invalid."],
    );
    let many = |count: usize, value: &str| vec![format!("'{value}'"); count].join(",");
    check_valid(&data("AWS::S3::Object", &many(250, "arn:aws:s3:::b/")), expect!["valid"]);
    check_valid(
        &data("AWS::S3::Object", &many(251, "arn:aws:s3:::b/")),
        expect![
            "The total number of data resource values across all event selectors of a trail is 251. The limit is 250."
        ],
    );
    check_valid(&data("AWS::S3::Object", &many(300, "arn:aws:s3")), expect!["valid"]);
}

#[test]
fn advanced_selectors_are_refused_in_cloudtrail_s_words() {
    let empty = EventSelectors::Advanced(vec![]).validate_for_trail().unwrap_err();
    assert_eq!(empty.0, "Specify between 1 and 500 selectors for your trail.");
    check_valid(
        "[{'FieldSelectors':[]}]",
        expect!["The following fields are required: [eventCategory]."],
    );
    check_valid(
        "[{'FieldSelectors':[{'Field':'readOnly','Equals':['true']}]}]",
        expect!["The following fields are required: [eventCategory]."],
    );
    check_valid(
        &advanced("Data", ""),
        expect!["The following fields are required: [resources.type]."],
    );
    check_valid(
        &advanced("NetworkActivity", ""),
        expect!["The following fields are required: [eventSource]."],
    );
    check_valid(
        &advanced("Insight", ""),
        expect!["The eventCategory Insight is only valid for event data stores, not for trails."],
    );
    check_valid(
        &advanced("Gossip", ""),
        expect!["Value Gossip for the field eventCategory is invalid."],
    );
    check_valid(
        &advanced("Management", ",{'Field':'eventCategory','Equals':['Data']}"),
        expect!["Specify the field eventCategory only once in a selector."],
    );
    check_valid(
        &advanced("Management", ",{'Field':'readOnly'}"),
        expect!["Specify at least one operator for the field readOnly."],
    );
    check_valid(
        &advanced("Management", ",{'Field':'readOnly','Equals':[]}"),
        expect!["Specify at least one value for Equals of the field readOnly."],
    );
    check_valid(
        &advanced("Management", ",{'Field':'readOnly','Equals':['']}"),
        expect!["The values of Equals of the field readOnly must have 1 to 2048 characters."],
    );
    check_valid(
        &advanced("Management", ",{'Field':'eventSource','NotEquals':['kms\\n']}"),
        expect!["The values of NotEquals of the field eventSource cannot contain line breaks."],
    );
    check_valid(
        &advanced("Management", ",{'Field':'a b','Equals':['x']}"),
        expect![[r#"The field name "a b" is invalid."#]],
    );
    let many = vec!["'x'"; 500].join(",");
    check_valid(
        &advanced(
            "Data",
            &format!(
                ",{{'Field':'resources.type','Equals':['AWS::S3::Object']}},{{'Field':'eventName','Equals':[{many}]}}"
            ),
        ),
        expect![
            "The total number of values across all conditions in the advanced event selectors of a trail is 502. The limit is 500."
        ],
    );
    check_valid(
        "[{'FieldSelectors':[{'Field':'eventCategory','Equals':['Data','Management']}]}]",
        expect!["The field eventCategory takes only Equals with exactly one value."],
    );
}

/// The table of the spec's section d.2, row by row: what a trail may say about a field.
#[test]
fn each_category_has_its_fields_and_operators() {
    const SIX: [&str; 6] =
        ["Equals", "StartsWith", "EndsWith", "NotEquals", "NotStartsWith", "NotEndsWith"];
    #[track_caller]
    fn row(category: &str, field: &str, value: &str, operators: &[&str]) {
        let required = match (category, field) {
            ("Data", field) if field != "resources.type" => {
                ",{'Field':'resources.type','Equals':['AWS::S3::Object']}"
            }
            ("NetworkActivity", field) if field != "eventSource" => {
                ",{'Field':'eventSource','Equals':['s3.amazonaws.com']}"
            }
            _ => "",
        };
        for operator in SIX {
            let text = advanced(
                category,
                &format!("{required},{{'Field':'{field}','{operator}':['{value}']}}"),
            );
            let valid = selectors(&text).validate_for_trail();
            assert_eq!(valid.is_ok(), operators.contains(&operator), "{text}: {valid:?}");
        }
    }
    row("Management", "readOnly", "true", &["Equals"]);
    row("Management", "readOnly", "false", &["Equals"]);
    row("Management", "readOnly", "True", &[]);
    row("Management", "eventSource", "kms.amazonaws.com", &["NotEquals"]);
    row("Management", "eventSource", "rdsdata.amazonaws.com", &["NotEquals"]);
    row("Management", "eventSource", "s3.amazonaws.com", &[]);
    for only_for_stores in
        ["eventName", "eventType", "userIdentity.arn", "sessionCredentialFromConsole"]
    {
        row("Management", only_for_stores, "true", &[]);
    }
    row("Management", "resources.ARN", "arn:aws:s3:::b", &[]);
    row("Data", "resources.type", "AWS::S3::Object", &["Equals"]);
    row("Data", "resources.type", "AWS::New::Thing", &["Equals"]);
    row("Data", "readOnly", "true", &["Equals"]);
    for field in ["eventName", "eventSource", "eventType", "userIdentity.arn"] {
        row("Data", field, "x", &SIX);
    }
    row("Data", "resources.ARN", "arn:aws:s3:::b/x", &SIX);
    row(
        "Data",
        "resources.ARN",
        "b/x",
        &["StartsWith", "EndsWith", "NotStartsWith", "NotEndsWith"],
    );
    row("Data", "resources.ARN", "arn:aws:lambda:us-east-1:111122223333:function:f", &SIX);
    row(
        "Data",
        "resources.ARN",
        "arn:aws:lambda:us-east-1:111122223333:function:f:$LATEST",
        &["StartsWith", "EndsWith", "NotStartsWith", "NotEndsWith"],
    );
    row("Data", "sessionCredentialFromConsole", "true", &["Equals", "NotEquals"]);
    row("Data", "sessionCredentialFromConsole", "false", &[]);
    row("Data", "vpcEndpointId", "x", &[]);
    row("NetworkActivity", "eventSource", "s3.amazonaws.com", &["Equals"]);
    row("NetworkActivity", "eventName", "GetObject", &SIX);
    row("NetworkActivity", "vpcEndpointId", "vpce-1", &SIX);
    row("NetworkActivity", "errorCode", "VpceAccessDenied", &["Equals"]);
    row("NetworkActivity", "errorCode", "AccessDenied", &[]);
    row("NetworkActivity", "readOnly", "true", &[]);
    row("Management", "newField", "x", &[]);
}

#[test]
fn a_store_selects_more_than_a_trail() {
    let field = |field: &str, test: &str| format!(",{{'Field':'{field}',{test}}}");
    for more in [
        field("eventSource", "'StartsWith':['ec2']"),
        field("eventName", "'NotEndsWith':['Tags']"),
        field("eventType", "'Equals':['AwsApiCall']"),
        field("userIdentity.arn", "'NotStartsWith':['arn:aws:sts']"),
        field("sessionCredentialFromConsole", "'NotEquals':['true']"),
    ] {
        check_store(&advanced("Management", &more), expect!["Events"]);
        assert!(selectors(&advanced("Management", &more)).validate_for_trail().is_err(), "{more}");
    }
    check_store(
        &advanced("Management", &field("sessionCredentialFromConsole", "'Equals':['false']")),
        expect!["Value false for the field sessionCredentialFromConsole is invalid."],
    );
}

#[test]
fn a_store_holds_events_of_one_class() {
    let both = |one: &str, two: &str| {
        let selector = |category: &str| {
            let more = match category {
                "Data" => ",{'Field':'resources.type','Equals':['AWS::S3::Object']}",
                _ => "",
            };
            let list = advanced(category, more);
            list[1..list.len() - 1].to_owned()
        };
        format!("[{},{}]", selector(one), selector(two))
    };
    check_store(&both("Management", "Data"), expect!["Events"]);
    check_store(&both("Insight", "Insight"), expect!["Insights"]);
    check_store(&advanced("ConfigurationItem", ""), expect!["ConfigurationItems"]);
    check_store(&advanced("Evidence", ""), expect!["Evidence"]);
    check_store(&advanced("ActivityAuditLog", ""), expect!["Activity"]);
    for (one, two) in [("Management", "Insight"), ("Evidence", "ConfigurationItem")] {
        check_store(
            &both(one, two),
            expect![
                "The eventCategory values Insight, ConfigurationItem, Evidence and ActivityAuditLog cannot be combined with other values in one event data store."
            ],
        );
    }
    check_store(
        &advanced("Insight", ",{'Field':'readOnly','Equals':['true']}"),
        expect!["The field readOnly is not valid for the eventCategory Insight."],
    );
}

#[test]
fn a_store_has_one_to_five_advanced_selectors() {
    let one = advanced("Management", "");
    let one = &one[1..one.len() - 1];
    check_store(&format!("[{}]", [one; 5].join(",")), expect!["Events"]);
    check_store(
        &format!("[{}]", [one; 6].join(",")),
        expect!["Specify between 1 and 5 selectors for your event data store."],
    );
    let basic = EventSelectors::default_for_trail().validate_for_event_data_store();
    assert_eq!(
        basic.unwrap_err().to_string(),
        "An event data store takes advanced event selectors only."
    );
    let default = EventSelectors::default_for_event_data_store();
    assert_eq!(default.validate_for_event_data_store(), Ok(StoreClass::Events));
}

#[test]
fn what_could_be_selected_is_seen_without_an_event() {
    let rows = [
        ("[{}]".to_owned(), [true, true, false]),
        ("[{'ReadWriteType':'ReadOnly'}]".to_owned(), [true, false, false]),
        ("[{'ReadWriteType':'WriteOnly'}]".to_owned(), [false, true, false]),
        (
            "[{'IncludeManagementEvents':false,'DataResources':[{'Type':'AWS::S3::Object','Values':['arn:aws:s3']}]}]".to_owned(),
            [false, false, true],
        ),
        (advanced("Management", ""), [true, true, false]),
        (advanced("Management", ",{'Field':'readOnly','Equals':['true']}"), [true, false, false]),
        (advanced("Data", ",{'Field':'readOnly','Equals':['false']}"), [false, false, true]),
        (advanced("NetworkActivity", ""), [false, false, false]),
    ];
    for (text, [reads, writes, data]) in rows {
        let selectors = selectors(&text);
        assert_eq!(selectors.may_select(Category::Management, Some(true)), reads, "{text}");
        assert_eq!(selectors.may_select(Category::Management, Some(false)), writes, "{text}");
        assert_eq!(selectors.may_select(Category::Data, None), data, "{text}");
    }
}
