use expect_test::{Expect, expect};

use super::*;
use crate::Limits;

/// `event` is the rest of a record in JSON with single quotes.
#[track_caller]
fn check(service: &str, event_name: &str, event: &str, expected: Expect) {
    let record = format!(
        "{{'eventTime':'2026-01-02T03:04:05Z','eventSource':'{service}.amazonaws.com','eventName':'{event_name}','awsRegion':'us-east-1',{event}}}"
    )
    .replace('\'', "\"");
    let header = crate::check(record.as_bytes(), &Limits::default()).unwrap();
    let object = |key| json::member(&record, key).filter(|value| value.starts_with('{'));
    let named = named_resources(&header, object("requestParameters"), object("responseElements"));
    let lines: Vec<String> = named
        .iter()
        .map(|named| format!("{} {}", named.kind.as_deref().unwrap_or("-"), named.name))
        .collect();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn a_bucket_is_named_once_and_by_its_name() {
    check(
        "s3",
        "PutBucketPolicy",
        "'requestParameters':{'bucketName':'logs','Host':'s3.amazonaws.com'},'resources':[{'ARN':'arn:aws:s3:::logs','type':'AWS::S3::Bucket'},{'ARN':'arn:aws-cn:s3:::logs'},{'ARN':'arn:aws:s3:::logs/key','type':'AWS::S3::Object'}]",
        expect![[r#"
            AWS::S3::Bucket logs
            AWS::S3::Object arn:aws:s3:::logs/key"#]],
    );
}

#[test]
fn parameters_come_before_the_answer_and_the_record_before_both() {
    check(
        "iam",
        "CreateRole",
        "'requestParameters':{'roleName':'reader','tags':[{'key':'userName'}]},'responseElements':{'role':{'roleName':'reader','arn':'arn:aws:iam::1:role/reader','roleId':'AROA'}},'resources':[{'ARN':'arn:aws:iam::1:role/reader','type':'AWS::IAM::Role'}]",
        expect![[r#"
            AWS::IAM::Role arn:aws:iam::1:role/reader
            AWS::IAM::Role reader"#]],
    );
    check(
        "ec2",
        "RunInstances",
        "'requestParameters':{'instancesSet':{'items':[{'imageId':'ami-1','keyName':'ops'}]},'groupSet':{'items':[{'groupId':'sg-1'}]}},'responseElements':{'instancesSet':{'items':[{'instanceId':'i-1','subnetId':'subnet-1'},{'instanceId':'i-2','subnetId':'subnet-1'}]}}",
        expect![[r#"
            AWS::EC2::Ami ami-1
            AWS::EC2::KeyPair ops
            AWS::EC2::SecurityGroup sg-1
            AWS::EC2::Instance i-1
            AWS::EC2::Subnet subnet-1
            AWS::EC2::Instance i-2"#]],
    );
}

#[test]
fn what_a_member_names_depends_on_the_service() {
    check(
        "iam",
        "AddUserToGroup",
        "'requestParameters':{'groupName':'ops','userName':'alice'}",
        expect![[r#"
        AWS::IAM::Group ops
        AWS::IAM::User alice"#]],
    );
    check(
        "ec2",
        "DeleteSecurityGroup",
        "'requestParameters':{'groupName':'web'}",
        expect!["AWS::EC2::SecurityGroup web"],
    );
    check(
        "cognito-idp",
        "AdminGetUser",
        "'requestParameters':{'groupName':'x','userName':'y'}",
        expect![""],
    );
    check(
        "cloudtrail",
        "CreateTrail",
        "'requestParameters':{'name':'audit','s3BucketName':'logs'}",
        expect![[r#"
        AWS::CloudTrail::Trail audit
        AWS::S3::Bucket logs"#]],
    );
    check(
        "cloudtrail",
        "CreateEventDataStore",
        "'requestParameters':{'name':'audit'}",
        expect![""],
    );
}

#[test]
fn other_values_and_null_name_nothing() {
    check(
        "s3",
        "ListBuckets",
        "'requestParameters':{'bucketName':['a'],'vpcId':null,'roleArn':7,'policyArn':''},'responseElements':null",
        expect![""],
    );
}

#[test]
fn of_very_many_the_first_are_named() {
    let items: Vec<String> = (0..500).map(|n| format!("{{'instanceId':'i-{n}'}}")).collect();
    let record = format!(
        "{{'eventTime':'2026-01-02T03:04:05Z','eventSource':'ec2.amazonaws.com','eventName':'StopInstances','awsRegion':'us-east-1','requestParameters':{{'instancesSet':{{'items':[{}]}}}}}}",
        items.join(",")
    )
    .replace('\'', "\"");
    let header = crate::check(record.as_bytes(), &Limits::default()).unwrap();
    let named = named_resources(&header, json::member(&record, "requestParameters"), None);
    assert_eq!(named.len(), 50);
    assert_eq!(named[49].name, "i-49");
}
