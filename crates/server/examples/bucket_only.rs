//! Serves only the bucket door, for `tests/e2e/test_bucket.py`: `bucket_only DATA_FOLDER`.
//!
//! Prints the address it listens on. Its keys are no secrets: two accounts, and CloudTrail itself. Its
//! bucket policies let the owner do everything and others nothing.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use server::access::{Identity, Key, KeyRing, Secret};
use server::doors::bucket::BucketDoor;

struct ExampleKeys;

impl KeyRing for ExampleKeys {
    fn find(&self, access_key_id: &str) -> Option<Key> {
        let (account, identity) = match access_key_id {
            "AKIAEXAMPLEONE000000" => ("111111111111", Identity::Root),
            "AKIAEXAMPLETWO000000" => ("222222222222", Identity::Root),
            "AKIACLOUDTRAIL000000" => {
                let principal = "cloudtrail.amazonaws.com".to_owned();
                ("333333333333", Identity::Service { principal })
            }
            _ => return None,
        };
        Some(Key {
            secret: Secret::new(format!("secret-of-{access_key_id}")),
            account: account.parse().ok()?,
            identity,
            active: true,
            session_token: None,
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: bucket_only DATA_FOLDER")?;
    let store = bucket::Store::open(Path::new(&folder), Arc::new(durable::RealDisk))?;
    let door = BucketDoor::new(
        Arc::new(store),
        Arc::new(ExampleKeys),
        Arc::new(jiff::Timestamp::now),
        Arc::new(|question| question.caller.account().as_str() == question.owner),
        vec!["localhost".to_owned()],
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (connection, peer) = listener.accept().await?;
        let door = door.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let door = door.clone();
                async move {
                    let (response, call) = door.call(peer.ip(), request).await;
                    eprintln!("{call:?}");
                    Ok::<_, Infallible>(response)
                }
            });
            let io = TokioIo::new(connection);
            // A broken connection is the client's affair.
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(io, service).await;
        });
    }
}
