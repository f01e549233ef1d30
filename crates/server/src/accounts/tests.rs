#![allow(clippy::unwrap_used, reason = "a failing unwrap is a failing test")]

use std::net::IpAddr;

use catalog::Catalog;
use event::Region;

use super::*;
use crate::access::{Expect, Payload, Signing, Verifier, sign};
use crate::authorization::{Asking, Attached, Denied, Wish, judge};
use crate::chance::SeededChance;

const OWN: &str = "111111111111";
const OTHER: &str = "222222222222";
const STORE: &str =
    "arn:aws:cloudtrail:us-east-1:111111111111:eventdatastore/00000000-0000-4000-8000-000000000000";

struct World {
    folder: tempfile::TempDir,
    catalog: Catalog,
    chance: SeededChance,
    accounts: Accounts,
}

fn account(text: &str) -> AccountId {
    AccountId::parse(text).unwrap()
}

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

async fn opened(folder: &std::path::Path, chance: &SeededChance) -> (Catalog, Accounts) {
    let catalog = Catalog::open(&folder.join("catalog.sqlite")).await.unwrap();
    let secret = NodeSecret::open(&folder.join("keys"), &durable::RealDisk, chance).unwrap();
    let access = catalog.access().await.unwrap();
    let accounts = Accounts::new(secret, account(OWN), access, HashMap::new(), chance);
    (catalog, accounts)
}

impl World {
    /// Two accounts, each with a user `ann` who has no policy and a key.
    async fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let chance = SeededChance::new(7);
        let (catalog, accounts) = opened(folder.path(), &chance).await;
        for id in [OWN, OTHER] {
            accounts.create_account(&catalog, account(id), "name", now()).await.unwrap();
            let made =
                accounts.create_principal(&catalog, &chance, account(id), "ann", "/", None, now());
            made.await.unwrap();
        }
        World { folder, catalog, chance, accounts }
    }

    async fn key(&self, of: &str) -> NewKey {
        let made = self.accounts.create_key(&self.catalog, &self.chance, account(of), "ann", now());
        made.await.unwrap()
    }

    async fn policy(&self, of: &str, name: &str, statement: &str) {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":{statement}}}"#);
        let put = self.accounts.put_policy(
            &self.catalog,
            account(of),
            PrincipalKind::User,
            "ann",
            name,
            &text,
        );
        put.await.unwrap();
    }

    /// Who signs with this key.
    fn caller(&self, id: &str, secret: &str, token: Option<&str>) -> Caller {
        authenticated(&self.accounts, id, secret, token).unwrap()
    }
}

fn authenticated(
    accounts: &Accounts,
    id: &str,
    secret: &str,
    token: Option<&str>,
) -> Result<Caller, crate::access::AuthError> {
    let mut request = http::Request::post("http://localhost/").body(()).unwrap();
    let secret = Secret::new(secret.to_owned());
    let signing = Signing {
        access_key_id: id,
        secret: &secret,
        session_token: token,
        region: "us-east-1",
        service: "cloudtrail",
        time: now(),
    };
    let (method, uri) = (request.method(), request.uri());
    let headers = sign(method, uri, request.headers(), &sha256_of_nothing(), &signing).unwrap();
    request.headers_mut().extend(headers);
    let (parts, ()) = request.into_parts();
    let verified = Verifier::default().authenticate(
        &parts,
        Payload::Bytes(b""),
        &Expect::CLOUDTRAIL,
        accounts,
        now(),
    );
    verified.map(|verified| verified.caller)
}

fn sha256_of_nothing() -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b""))
}

fn ask(
    accounts: &Accounts,
    caller: &Caller,
    action: &str,
    owner: &str,
    policy: Option<&str>,
) -> Result<(), String> {
    let region = Region::parse("us-east-1").unwrap();
    let asking = Asking {
        caller,
        source_ip: IpAddr::from([203, 0, 113, 7]),
        user_agent: Some("test"),
        region: &region,
        now: now(),
    };
    let wish =
        Wish { action, resource: STORE, owner, policy: policy.map(Attached::Text), context: &[] };
    judge(accounts, &asking, &wish).map_err(|Denied(message)| message)
}

const QUERY: &str = "cloudtrail:StartQuery";

#[tokio::test]
async fn keys_open_only_while_they_are_active_and_survive_a_restart_sealed() {
    let world = World::new().await;
    let key = world.key(OWN).await;
    let secret = key.secret.reveal().to_owned();
    let (id, accounts) = (key.id.as_str(), &world.accounts);
    assert_eq!(accounts.keys(&account(OWN), None).len(), 1);
    assert!(accounts.keys(&account(OTHER), None).is_empty());
    let caller = world.caller(id, &secret, None);
    assert_eq!(caller.arn().unwrap(), "arn:aws:iam::111111111111:user/ann");
    accounts.note_use(&caller, "s3", "us-east-1", now());
    world.catalog.note_key_uses(&accounts.take_uses()).await.unwrap();

    accounts.set_key_active(&world.catalog, account(OWN), id, false).await.unwrap();
    assert!(authenticated(accounts, id, &secret, None).is_err());
    let others = accounts.set_key_active(&world.catalog, account(OTHER), id, true).await;
    assert!(matches!(others, Err(AccessError::NoSuchEntity(_))), "{others:?}");
    accounts.set_key_active(&world.catalog, account(OWN), id, true).await.unwrap();

    world.catalog.close().await;
    let database = std::fs::read(world.folder.path().join("catalog.sqlite")).unwrap();
    assert!(!database.windows(secret.len()).any(|part| part == secret.as_bytes()));
    let (catalog, accounts) = opened(world.folder.path(), &world.chance).await;
    assert!(authenticated(&accounts, id, &secret, None).is_ok());
    let last = accounts.keys(&account(OWN), None)[0].last_used.clone().unwrap();
    assert_eq!((last.service.as_str(), last.at_ms), ("s3", now().as_millisecond()));
    catalog.close().await;

    // A copy of the database without the node's secret is worth nothing.
    std::fs::remove_file(world.folder.path().join("keys/node-secret")).unwrap();
    let (_, accounts) = opened(world.folder.path(), &world.chance).await;
    assert!(authenticated(&accounts, id, &secret, None).is_err());
}

#[tokio::test]
async fn a_user_may_do_what_a_policy_allows_and_none_denies() {
    let world = World::new().await;
    let key = world.key(OWN).await;
    let ann = world.caller(&key.id, key.secret.reveal(), None);
    let ask = |action| ask(&world.accounts, &ann, action, OWN, None);
    assert_eq!(
        ask(QUERY).unwrap_err(),
        format!(
            "User: arn:aws:iam::111111111111:user/ann is not authorized to perform: {QUERY} on resource: {STORE} because no identity-based policy allows the {QUERY} action"
        )
    );
    world.policy(OWN, "a", r#"{"Effect":"Allow","Action":"cloudtrail:*","Resource":"*"}"#).await;
    assert_eq!(ask(QUERY), Ok(()));
    assert!(ask("s3:GetObject").is_err());
    let deny = r#"{"Effect":"Deny","Action":"cloudtrail:Start*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}}"#;
    world.policy(OWN, "b", deny).await;
    assert!(ask(QUERY).unwrap_err().ends_with("with an explicit deny in an identity-based policy"));
    assert_eq!(ask("cloudtrail:LookupEvents"), Ok(()));
    // Even an administrator.
    world.policy(OWN, "c", r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#).await;
    assert!(ask(QUERY).is_err());
    let accounts = &world.accounts;
    let gone =
        accounts.delete_policy(&world.catalog, account(OWN), PrincipalKind::User, "ann", "b");
    gone.await.unwrap();
    assert_eq!(ask(QUERY), Ok(()));
    assert_eq!(ask("s3:GetObject"), Ok(()));
    let gone = accounts.delete_principal(&world.catalog, account(OWN), PrincipalKind::User, "ann");
    gone.await.unwrap();
    assert!(ask(QUERY).is_err());
    assert!(authenticated(accounts, &key.id, key.secret.reveal(), None).is_err());
}

#[tokio::test]
async fn another_account_needs_both_its_own_and_the_resource_s_policy() {
    let world = World::new().await;
    let key = world.key(OTHER).await;
    let eve = world.caller(&key.id, key.secret.reveal(), None);
    let allow = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"AWS":"{OTHER}"}},"Action":"{QUERY}","Resource":"{STORE}"}}}}"#
    );
    let deny = allow.replace("\"Allow\"", "\"Deny\"");
    let ask = |policy| ask(&world.accounts, &eve, QUERY, OWN, policy);
    assert!(ask(Some(&allow)).unwrap_err().contains("no identity-based policy"));
    world.policy(OTHER, "all", r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#).await;
    assert!(ask(None).unwrap_err().contains("no resource-based policy"));
    assert_eq!(ask(Some(&allow)), Ok(()));
    assert!(ask(Some(&deny)).unwrap_err().contains("explicit deny in a resource-based policy"));
    assert!(ask(Some("no policy")).is_err());
}

#[tokio::test]
async fn in_one_account_a_resource_s_policy_allows_those_that_it_names() {
    let world = World::new().await;
    let key = world.key(OWN).await;
    let ann = world.caller(&key.id, key.secret.reveal(), None);
    for (principal, allows) in [
        (r#""*""#, true),
        (r#"{"AWS":"arn:aws:iam::111111111111:user/ann"}"#, true),
        (r#"{"AWS":"arn:aws:iam::111111111111:user/bob"}"#, false),
        // AWS: that leaves it to the account's own policies.
        (r#"{"AWS":"111111111111"}"#, false),
    ] {
        let policy = format!(
            r#"{{"Statement":{{"Effect":"Allow","Principal":{principal},"Action":"*","Resource":"*"}}}}"#
        );
        let answer = ask(&world.accounts, &ann, QUERY, OWN, Some(&policy));
        assert_eq!(answer.is_ok(), allows, "{principal}");
        let denies = policy.replace("Allow", "Deny");
        let is_named = !principal.contains("bob");
        let answer = ask(&world.accounts, &ann, QUERY, OWN, Some(&denies)).unwrap_err();
        assert_eq!(answer.contains("explicit"), is_named, "{principal}");
    }
}

#[tokio::test]
async fn a_session_has_its_role_s_powers_within_its_policy_and_ends_with_the_role() {
    let world = World::new().await;
    let (accounts, catalog) = (&world.accounts, &world.catalog);
    let trust = r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}}"#;
    let make = || {
        accounts.create_principal(
            catalog,
            &world.chance,
            account(OWN),
            "audit",
            "/team/",
            Some(trust),
            now(),
        )
    };
    let role_id = make().await.unwrap();
    let all = r#"{"Statement":{"Effect":"Allow","Action":"cloudtrail:*","Resource":"*"}}"#;
    let put = accounts.put_policy(catalog, account(OWN), PrincipalKind::Role, "audit", "all", all);
    put.await.unwrap();
    let seconds = now().as_second();
    let session = Session {
        account: OWN.to_owned(),
        role: "audit".to_owned(),
        role_id,
        name: "s1".to_owned(),
        issued: seconds,
        expires: seconds + 900,
        source_identity: None,
        policy: Some(all.replace("cloudtrail:*", "cloudtrail:Start*")),
    };
    let issued = accounts.issue_session(&session, &world.chance);
    let (id, secret) = (issued.access_key_id.as_str(), issued.secret_access_key.as_str());
    let token = issued.session_token.as_str();
    let caller = world.caller(id, secret, Some(token));
    assert_eq!(caller.arn().unwrap(), "arn:aws:sts::111111111111:assumed-role/audit/s1");
    assert_eq!(caller.role_arn().unwrap(), "arn:aws:iam::111111111111:role/team/audit");
    assert_eq!(ask(accounts, &caller, QUERY, OWN, None), Ok(()));
    let answer = ask(accounts, &caller, "cloudtrail:GetTrail", OWN, None).unwrap_err();
    assert!(answer.contains("no session policy"), "{answer}");

    assert!(authenticated(accounts, id, secret, None).is_err());
    let mut altered = token.to_owned().into_bytes();
    altered[40] = if altered[40] == b'A' { b'B' } else { b'A' };
    let altered = String::from_utf8(altered).unwrap();
    assert!(authenticated(accounts, id, secret, Some(&altered)).is_err());
    let late = Session { expires: seconds, ..session.clone() };
    let late = accounts.issue_session(&late, &world.chance);
    let answer = authenticated(
        accounts,
        &late.access_key_id,
        &late.secret_access_key,
        Some(&late.session_token),
    );
    assert_eq!(answer.unwrap_err().code, "ExpiredTokenException");

    // A role of the same name is another role.
    let removed = accounts.delete_principal(catalog, account(OWN), PrincipalKind::Role, "audit");
    removed.await.unwrap();
    make().await.unwrap();
    assert!(authenticated(accounts, id, secret, Some(token)).is_err());
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_name() {
    let world = World::new().await;
    let (accounts, catalog, chance) = (&world.accounts, &world.catalog, &world.chance);
    let make = |of: &str, name: &'static str, path: &'static str| {
        let of = account(of);
        async move { accounts.create_principal(catalog, chance, of, name, path, None, now()).await }
    };
    assert!(matches!(make(OWN, "ann", "/").await, Err(AccessError::EntityAlreadyExists(_))));
    assert!(matches!(make(OWN, "a b", "/").await, Err(AccessError::ValidationError(_))));
    assert!(matches!(make(OWN, "bob", "team").await, Err(AccessError::ValidationError(_))));
    let reserved = make(OWN, "bob", "/aws-service-role/x/").await;
    assert!(matches!(reserved, Err(AccessError::ValidationError(_))));
    let nowhere = make("333333333333", "bob", "/").await;
    assert!(matches!(nowhere, Err(AccessError::NoSuchEntity(_))));
    world.key(OWN).await;
    world.key(OWN).await;
    let third = accounts.create_key(catalog, chance, account(OWN), "ann", now()).await;
    assert!(matches!(third, Err(AccessError::LimitExceeded(_))));
    let user = PrincipalKind::User;
    let put = accounts.put_policy(catalog, account(OWN), user, "ann", "p", "{}").await;
    assert!(matches!(put, Err(AccessError::MalformedPolicyDocument(_))));
    let put = accounts.put_policy(catalog, account(OWN), user, "bob", "p", ADMINISTRATOR).await;
    assert!(matches!(put, Err(AccessError::NoSuchEntity(_))));
    let twice = accounts.create_account(catalog, account(OWN), "again", now()).await;
    assert!(matches!(twice, Err(AccessError::EntityAlreadyExists(_))));
}
