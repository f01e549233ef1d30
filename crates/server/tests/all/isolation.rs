//! Two tenants and random calls: nothing of one is ever in an answer to the other.
//!
//! ```text
//!   tenant A: names with "alphaword"  ─┐           ┌─ answers to A: no "bravoword", no ID of B's
//!   tenant B: names with "bravoword"  ─┴─▶ node ──▶┴─ answers to B: no "alphaword", no ID of A's
//! ```
//! Both use IDs, ARNs and tokens of the other's as often as their own. An answer may repeat what the
//! request itself said, nothing else.
//!
//! `ISOLATION_CALLS=100000 cargo test -p server --test all isolation` makes more calls.

mod calls;
mod limits;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use event::AccountId;
use serde_json::Value;
use server::node::Node;

use crate::conversations::client::{Answer, Call, Client};
use crate::fresh_node::FreshNode;

const CALLS: usize = 3_000;
/// With one node: the lake of these tests looks at every event for each question.
const ROUND_CALLS: usize = 4_000;
/// Callers of each tenant at the same time.
const CALLERS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn no_tenant_hears_of_another() {
    let calls = std::env::var("ISOLATION_CALLS").ok();
    let calls = calls.map_or(CALLS, |text| text.parse().expect("ISOLATION_CALLS is a number"));
    for (round, before) in (0..calls).step_by(ROUND_CALLS).enumerate() {
        play(round, ROUND_CALLS.min(calls - before)).await;
        if calls > ROUND_CALLS {
            eprintln!("{} of {calls} calls", calls.min(before + ROUND_CALLS));
        }
    }
}

/// So many calls to a fresh node, other ones in each round.
async fn play(round: usize, calls: usize) {
    let fresh = FreshNode::start().await;
    let alpha = Tenant::new(&fresh.node, "222222222222", "alphaword").await;
    let bravo = Tenant::new(&fresh.node, "333333333333", "bravoword").await;
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..2 * CALLERS {
        let (own, other) = match number % 2 {
            0 => (alpha.clone(), bravo.clone()),
            _ => (bravo.clone(), alpha.clone()),
        };
        let (client, seed) = (own.client(&fresh.node), 1 + number + 2 * CALLERS * round);
        callers.spawn(async move {
            let mut caller = Caller { client, chance: Dice(seed as u64) };
            for _ in 0..calls.div_ceil(2 * CALLERS) {
                caller.turn(&own, &other).await;
            }
        });
    }
    while let Some(done) = callers.join_next().await {
        done.expect("no answer told of the other tenant");
    }
    for tenant in [&alpha, &bravo] {
        let known = tenant.known();
        let ways = known.answers.len();
        assert!(ways > 40, "only {ways} kinds of answers: {:?}", known.answers);
        let (good, all) = known.answers.iter().fold((0, 0), |(good, all), ((_, code), count)| {
            (good + if code.is_empty() { *count } else { 0 }, all + count)
        });
        assert!(good * 10 > all, "most calls failed: {:?}", known.answers);
    }
    fresh.stop().await;
}

struct Tenant {
    account: &'static str,
    word: &'static str,
    key: (String, server::access::Secret),
    known: Mutex<Known>,
}

/// What a tenant has heard.
#[derive(Default)]
struct Known {
    /// By kind: ARNs, IDs and tokens of its own.
    ids: BTreeMap<&'static str, Vec<String>>,
    /// How often an operation answered with a code; "" is a success.
    answers: BTreeMap<(String, String), usize>,
}

impl Tenant {
    async fn new(node: &Node, account: &'static str, word: &'static str) -> Arc<Tenant> {
        let id = AccountId::parse(account).expect("twelve digits");
        let (accounts, catalog, chance) = (&node.accounts, &node.catalog, node.chance.as_ref());
        let now = node.clock.now();
        let made = accounts.create_account(catalog, id, word, now);
        made.await.expect("the account is new");
        let user = accounts.create_principal(catalog, chance, id, word, "/", None, now);
        user.await.expect("the user is new");
        let (kind, policy) = (catalog::PrincipalKind::User, server::accounts::ADMINISTRATOR);
        let put = accounts.put_policy(catalog, id, kind, word, "all", policy);
        put.await.expect("the policy is good");
        let key = accounts.create_key(catalog, chance, id, word, now).await.expect("a first key");
        let known = Mutex::default();
        Arc::new(Tenant { account, word, key: (key.id, key.secret), known })
    }

    fn client(&self, node: &Node) -> Client {
        Client::with_key(node, &self.key.0, &self.key.1)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().expect("no test that panicked goes on")
    }
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn one_of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }
}

struct Caller {
    client: Client,
    chance: Dice,
}

impl Caller {
    async fn turn(&mut self, own: &Tenant, other: &Tenant) {
        let (call, text) = self.draw(own, other);
        let answer = self.client.call("us-east-1", &call).await;
        self.check(own, other, &call, &text, &answer);
    }

    fn check(&self, own: &Tenant, other: &Tenant, call: &Call, asked: &str, answer: &Answer) {
        let told = match answer.status {
            200 => without_own_calls(answer.body.clone(), own).to_string(),
            _ => answer.shown(),
        };
        let foreign: Vec<String> = {
            let known = other.known();
            let ids = known.ids.values().flatten().filter(|id| id.len() > 8).cloned();
            ids.chain([other.word.to_owned(), other.account.to_owned()]).collect()
        };
        for id in foreign {
            let tail = id.rsplit('/').next().unwrap_or_default();
            for secret in [id.as_str(), tail] {
                // An ID in the request and the account it is said to be of make an ARN.
                let is_said = asked.contains(secret)
                    || (asked.contains(tail) && asked.contains(other.account));
                let at = told.find(secret).filter(|_| !is_said);
                let around = at.map(|at| &told[told.floor_char_boundary(at.saturating_sub(300))..]);
                let around = around.map(|text| text.chars().take(600).collect::<String>());
                assert!(
                    around.is_none(),
                    "{} heard {secret:?} of {}\n> {call:?}\n< … {} …",
                    own.account,
                    other.account,
                    around.unwrap_or_default()
                );
            }
        }
        assert!(answer.status != 500, "> {call:?}\n< {told}");
        let mut known = own.known();
        let name = match call {
            Call::Operation { name, .. } => name.as_str(),
            Call::Target { target, .. } => target.as_str(),
            Call::S3 { operation, .. } => operation.as_str(),
            Call::Post { .. } => "post",
            Call::Lookup { .. } => "lookup",
            Call::Http { .. } => "access",
            Call::Sts { .. } => "sts",
            _ => "put",
        };
        let code = answer.code().unwrap_or_default().to_owned();
        *known.answers.entry((name.to_owned(), code)).or_default() += 1;
        if answer.status == 200 {
            learn(&answer.body, own.account, &mut known.ids);
        }
    }
}

/// Events of the tenant's own calls say again what the calls said. They must be its own.
fn without_own_calls(mut answer: Value, own: &Tenant) -> Value {
    for list in ["events", "Events"] {
        let Some(events) = answer.get_mut(list).and_then(Value::as_array_mut) else { continue };
        events.retain(|event| {
            let record = match event["CloudTrailEvent"].as_str() {
                Some(text) => serde_json::from_str(text).expect("a record is JSON"),
                None => event["record"].clone(),
            };
            let owner = text(&record, "recipientAccountId");
            assert_eq!(owner, own.account, "{record}");
            let who = text(&record["userIdentity"], "arn");
            let is_own = who.contains(own.account) && who.contains(own.word);
            !is_own
        });
    }
    answer
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_default().to_owned()
}

/// Collects the IDs in an answer.
fn learn(value: &Value, account: &str, ids: &mut BTreeMap<&'static str, Vec<String>>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let kind = match (name.as_str(), value.as_str()) {
                    ("QueryId", _) => Some("query"),
                    ("ImportId", _) => Some("import"),
                    ("NextToken", _) => Some("token"),
                    (_, Some(arn))
                        if arn.starts_with("arn:aws:cloudtrail:") && arn.contains(account) =>
                    {
                        ["trail", "eventdatastore", "channel", "dashboard"]
                            .into_iter()
                            .find(|kind| arn.contains(&format!(":{kind}/")))
                            // Everybody has the managed dashboards.
                            .filter(|_| !arn.contains("AWSCloudTrail-"))
                    }
                    _ => None,
                };
                match (kind, value.as_str()) {
                    (Some(kind), Some(id)) => {
                        let all = ids.entry(kind).or_default();
                        if !all.iter().any(|known| known == id) && all.len() < 200 {
                            all.push(id.to_owned());
                        }
                    }
                    _ => learn(value, account, ids),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| learn(item, account, ids)),
        _ => {}
    }
}
