//! GenerateQuery with a model behind it: a good statement is taken, anything else is not.

use std::time::Duration;

use serde_json::json;
use server::settings::ModelSettings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::conversations::client::Client;
use crate::fresh_node::FreshNode;

/// What GenerateQuery answers for "most active users" when the model says this, in which `STORE` is
/// the event data store's ID. None: no model listens.
async fn generated(says: Option<&str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let fresh = FreshNode::start_with(|settings| {
        let time_max = Duration::from_secs(20);
        let model = "small".to_owned();
        settings.model = Some(ModelSettings { url, model, api_key: None, time_max });
    })
    .await;
    let mut client = Client::new(&fresh.node);
    let made = client.cloudtrail("CreateEventDataStore", r#"{"Name": "audit"}"#).await;
    let arn = made.body["EventDataStoreArn"].as_str().unwrap().to_owned();
    let id = arn.rsplit('/').next().unwrap().to_owned();
    let model = says.map(|says| {
        let content = says.replace("STORE", &id);
        let body = json!({"choices": [{"message": {"content": content}}]}).to_string();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        tokio::spawn(answer_once(listener, head + &body))
    });
    let ask = json!({"EventDataStores": [arn], "Prompt": "most active users"}).to_string();
    let answer = client.cloudtrail("GenerateQuery", &ask).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    if let Some(model) = model {
        model.await.unwrap();
    }
    fresh.stop().await;
    answer.body["QueryStatement"].as_str().unwrap().replace(&id, "STORE")
}

async fn answer_once(listener: TcpListener, answer: String) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut heard = Vec::new();
    // The body is JSON in one piece, and ends with the object.
    while !heard.ends_with(b"}") {
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).await.unwrap();
        assert!(count > 0, "the request ends early");
        heard.extend_from_slice(&chunk[..count]);
    }
    stream.write_all(answer.as_bytes()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_s_statement_is_taken_if_it_holds() {
    let good = "SELECT eventName FROM STORE";
    assert_eq!(generated(Some(good)).await, good);
}

#[tokio::test(flavor = "multi_thread")]
async fn else_the_built_in_matching_answers() {
    let built_in = generated(None).await;
    assert!(built_in.contains("FROM STORE") && built_in.contains("userIdentity.arn"), "{built_in}");
    for wrong in [
        "SELECT nonesuch FROM STORE",
        "DELETE FROM STORE",
        "SELECT eventName FROM 4e0b29e5-2c1f-4a0a-a9b4-6d2b1c9c7f10",
        "I cannot do that.",
        "",
    ] {
        assert_eq!(generated(Some(wrong)).await, built_in, "{wrong}");
    }
}
