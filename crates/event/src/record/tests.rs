use expect_test::{Expect, expect};
use serde_json::json;

use super::*;
use crate::Limits;

fn account() -> AccountId {
    AccountId::parse("111122223333").unwrap()
}

fn event() -> NewEvent {
    NewEvent {
        identity: Identity::IamUser {
            account: account(),
            principal_id: "AIDAEX".into(),
            arn: "arn:aws:iam::111122223333:user/ana".into(),
            user_name: "ana".into(),
            access_key_id: Some("AKIAEX".into()),
            session: None,
        },
        event_time: "2026-01-02T03:04:05.678Z".parse().unwrap(),
        event_source: "cloudtrail.amazonaws.com".into(),
        event_name: "StopLogging".into(),
        aws_region: Region::parse("us-east-1").unwrap(),
        source_ip_address: "192.0.2.1".into(),
        user_agent: Some("aws-cli/2".into()),
        error_code: None,
        error_message: None,
        request_parameters: json!({"name": "audit"}),
        response_elements: Value::Null,
        additional_event_data: None,
        request_id: Some("r-1".into()),
        event_id: Uuid::from_u128(7),
        read_only: false,
        resources: vec![],
        event_type: EventType::AwsApiCall,
        api_version: None,
        management_event: true,
        recipient_account: account(),
        shared_event_id: None,
        vpc_endpoint_id: None,
        service_event_details: None,
        tls_details: None,
        session_credential_from_console: false,
    }
}

#[track_caller]
fn check(event: &NewEvent, expected: Expect) {
    let json = event.to_json();
    let header = crate::check(&json, &Limits::default()).expect("what we write, we take");
    assert_eq!(header.account(), Some(event.recipient_account));
    assert_eq!(header.event_id_or_derived(&json), event.event_id);
    expected.assert_eq(std::str::from_utf8(&json).unwrap());
}

#[test]
fn a_plain_call_has_the_native_field_order() {
    check(
        &event(),
        expect![[
            r#"{"eventVersion":"1.11","userIdentity":{"type":"IAMUser","principalId":"AIDAEX","arn":"arn:aws:iam::111122223333:user/ana","accountId":"111122223333","accessKeyId":"AKIAEX","userName":"ana"},"eventTime":"2026-01-02T03:04:05Z","eventSource":"cloudtrail.amazonaws.com","eventName":"StopLogging","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.1","userAgent":"aws-cli/2","requestParameters":{"name":"audit"},"responseElements":null,"requestID":"r-1","eventID":"00000000-0000-0000-0000-000000000007","readOnly":false,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","eventCategory":"Management"}"#
        ]],
    );
}

#[test]
fn every_field_has_its_place() {
    let full = NewEvent {
        error_code: Some("AccessDenied".into()),
        error_message: Some("no".into()),
        additional_event_data: Some(json!({"bytesTransferredIn": 0})),
        resources: vec![
            NewResource {
                account: None,
                kind: "AWS::S3::Object".into(),
                name: ResourceName::ArnPrefix("arn:aws:s3:::b/".into()),
            },
            NewResource {
                account: Some(account()),
                kind: "AWS::S3::Bucket".into(),
                name: ResourceName::Arn("arn:aws:s3:::b".into()),
            },
        ],
        api_version: Some("2013-11-01".into()),
        management_event: false,
        read_only: true,
        shared_event_id: Some(Uuid::from_u128(8)),
        vpc_endpoint_id: Some("vpce-1".into()),
        service_event_details: Some(json!({"a": 1})),
        tls_details: Some(TlsDetails {
            tls_version: Some("TLSv1.3".into()),
            ..TlsDetails::default()
        }),
        session_credential_from_console: true,
        ..event()
    };
    check(
        &full,
        expect![[
            r#"{"eventVersion":"1.11","userIdentity":{"type":"IAMUser","principalId":"AIDAEX","arn":"arn:aws:iam::111122223333:user/ana","accountId":"111122223333","accessKeyId":"AKIAEX","userName":"ana"},"eventTime":"2026-01-02T03:04:05Z","eventSource":"cloudtrail.amazonaws.com","eventName":"StopLogging","awsRegion":"us-east-1","sourceIPAddress":"192.0.2.1","userAgent":"aws-cli/2","errorCode":"AccessDenied","errorMessage":"no","requestParameters":{"name":"audit"},"responseElements":null,"additionalEventData":{"bytesTransferredIn":0},"requestID":"r-1","eventID":"00000000-0000-0000-0000-000000000007","readOnly":true,"resources":[{"type":"AWS::S3::Object","ARNPrefix":"arn:aws:s3:::b/"},{"accountId":"111122223333","type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::b"}],"eventType":"AwsApiCall","apiVersion":"2013-11-01","managementEvent":false,"recipientAccountId":"111122223333","sharedEventID":"00000000-0000-0000-0000-000000000008","vpcEndpointId":"vpce-1","serviceEventDetails":{"a":1},"eventCategory":"Data","tlsDetails":{"tlsVersion":"TLSv1.3"},"sessionCredentialFromConsole":"true"}"#
        ]],
    );
}

#[test]
fn long_texts_are_cut_and_large_parameters_noted() {
    let large = NewEvent {
        user_agent: Some("é".repeat(1_000)),
        request_parameters: json!({"policyDocument": "x".repeat(149_872)}),
        ..event()
    };
    let json: Value = serde_json::from_slice(&large.to_json()).unwrap();
    assert_eq!(json["userAgent"].as_str().unwrap().len(), 1_024);
    assert_eq!(
        json["requestParameters"],
        json!({"reason": "requestParameters too large", "omitted": true, "originalSize": 149_893})
    );
}

#[test]
fn an_event_never_exceeds_what_cloudtrail_takes() {
    let nearly = json!({"a": "x".repeat(102_000)});
    let large = NewEvent {
        request_parameters: nearly.clone(),
        response_elements: nearly.clone(),
        service_event_details: Some(nearly),
        ..event()
    };
    let json = large.to_json();
    assert!(crate::check(&json, &Limits::default()).is_ok());
    let json: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["responseElements"]["omitted"], true);
    assert_eq!(json["requestParameters"]["a"].as_str().unwrap().len(), 102_000);
}

#[test]
fn each_kind_of_identity_has_its_members() {
    let session = Session {
        created: "2026-01-02T03:04:05Z".parse().unwrap(),
        mfa_authenticated: true,
        source_identity: Some("ana".into()),
    };
    let plain = Session { source_identity: None, ..session.clone() };
    let kinds = [
        Identity::Root {
            account: account(),
            access_key_id: Some("ASIAEX".into()),
            user_name: None,
            session: Some(plain.clone()),
        },
        event().identity,
        Identity::AssumedRole {
            account: account(),
            role_id: "AROAEX".into(),
            role_arn: "arn:aws:iam::111122223333:role/Dev".into(),
            role_name: "Dev".into(),
            session_name: "sess".into(),
            access_key_id: Some("ASIAEX".into()),
            session,
        },
        Identity::Role {
            account: account(),
            principal_id: "AROAEX".into(),
            arn: "arn:aws:iam::111122223333:role/Dev".into(),
            user_name: Some("Dev".into()),
        },
        Identity::FederatedUser {
            account: account(),
            name: "ana".into(),
            access_key_id: None,
            issuer: SessionIssuer {
                r#type: "IAMUser".into(),
                principal_id: "AIDAEX".into(),
                arn: "arn:aws:iam::111122223333:user/broker".into(),
                account: account(),
                user_name: Some("broker".into()),
            },
            session: plain,
        },
        Identity::Directory { account: account(), user_name: Some("ana@example.com".into()) },
        Identity::AwsAccount { account: account(), principal_id: Some("AROAFOREIGN:sess".into()) },
        Identity::AwsService { invoked_by: "lambda.amazonaws.com".into() },
        Identity::IdentityCenterUser {
            account: account(),
            user_id: "u-1".into(),
            identity_store_arn: "arn:aws:identitystore::111122223333:identitystore/d-1".into(),
            credential_id: Some("VHUL".into()),
        },
        Identity::SamlUser { name_qualifier: "NQ/=".into(), subject: "alice".into() },
        Identity::WebIdentityUser {
            provider: "accounts.google.com".into(),
            application_id: "app".into(),
            user_id: "uid".into(),
        },
        Identity::Unknown { account: Some(account()), user_name: None },
        Identity::Untyped { account: account(), invoked_by: "AWS Internal".into() },
    ];
    let lines: Vec<String> =
        kinds.iter().map(|identity| serde_json::to_string(identity).unwrap()).collect();
    expect![[r#"
        {"type":"Root","principalId":"111122223333","arn":"arn:aws:iam::111122223333:root","accountId":"111122223333","accessKeyId":"ASIAEX","sessionContext":{"attributes":{"creationDate":"2026-01-02T03:04:05Z","mfaAuthenticated":"true"}}}
        {"type":"IAMUser","principalId":"AIDAEX","arn":"arn:aws:iam::111122223333:user/ana","accountId":"111122223333","accessKeyId":"AKIAEX","userName":"ana"}
        {"type":"AssumedRole","principalId":"AROAEX:sess","arn":"arn:aws:sts::111122223333:assumed-role/Dev/sess","accountId":"111122223333","accessKeyId":"ASIAEX","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROAEX","arn":"arn:aws:iam::111122223333:role/Dev","accountId":"111122223333","userName":"Dev"},"attributes":{"creationDate":"2026-01-02T03:04:05Z","mfaAuthenticated":"true"},"sourceIdentity":"ana"}}
        {"type":"Role","principalId":"AROAEX","arn":"arn:aws:iam::111122223333:role/Dev","accountId":"111122223333","userName":"Dev"}
        {"type":"FederatedUser","principalId":"111122223333:ana","arn":"arn:aws:sts::111122223333:federated-user/ana","accountId":"111122223333","sessionContext":{"sessionIssuer":{"type":"IAMUser","principalId":"AIDAEX","arn":"arn:aws:iam::111122223333:user/broker","accountId":"111122223333","userName":"broker"},"attributes":{"creationDate":"2026-01-02T03:04:05Z","mfaAuthenticated":"true"}}}
        {"type":"Directory","accountId":"111122223333","userName":"ana@example.com"}
        {"type":"AWSAccount","principalId":"AROAFOREIGN:sess","accountId":"111122223333"}
        {"type":"AWSService","invokedBy":"lambda.amazonaws.com"}
        {"type":"IdentityCenterUser","accountId":"111122223333","onBehalfOf":{"userId":"u-1","identityStoreArn":"arn:aws:identitystore::111122223333:identitystore/d-1"},"credentialId":"VHUL"}
        {"type":"SAMLUser","principalId":"NQ/=:alice","userName":"alice","identityProvider":"NQ/="}
        {"type":"WebIdentityUser","principalId":"accounts.google.com:app:uid","userName":"uid","identityProvider":"accounts.google.com"}
        {"type":"Unknown","accountId":"111122223333"}
        {"accountId":"111122223333","invokedBy":"AWS Internal"}"#]].assert_eq(&lines.join("\n"));
}
