use api::cloudtrail::{GenerateQueryRequest, GenerateQueryResponse};
use api::{ApiError, ErrorCode};
use catalog::QueryAlias;
use event::selectors::StoreClass;

use super::{checked, invalid_parameter};
use crate::operations::{Cx, event_data_stores, internal};
use crate::{chance, model};

/// A statement for a question in words: a configured model's if it holds, else that of the sample
/// query that fits best. It is kept under its alias for StartQuery.
pub async fn generate_query(
    cx: Cx<'_>,
    input: GenerateQueryRequest,
) -> Result<GenerateQueryResponse, ApiError> {
    let named = input.event_data_stores.unwrap_or_default();
    let [named] = named.as_slice() else {
        return Err(invalid_parameter("You must specify exactly one event data store."));
    };
    let store = event_data_stores::active(cx, named).await?;
    // The sample queries, and what a model is told of columns, are about these.
    if store.state.class != StoreClass::Events {
        return Err(ApiError::new(
            ErrorCode::GenerateResponseException,
            format!(
                "No query can be generated for event data store {}: it does not hold management, data or network activity events.",
                store.arn
            ),
        ));
    }
    let prompt = input.prompt.unwrap_or_default();
    let id = store.id.hyphenated().to_string();
    let statement = match from_model(cx, &prompt, &id).await {
        Some(statement) => statement,
        None => {
            let generated = cx.node.samples.generate(&prompt, cx.now);
            let statement = generated.ok_or_else(|| {
                ApiError::new(
                    ErrorCode::GenerateResponseException,
                    "No query could be generated from this prompt. Name a service, an event, a user or a kind of activity.",
                )
            })?;
            statement.replace("$EDS_ID", &id)
        }
    };
    let alias = QueryAlias {
        alias: format!("AWSCloudTrail-{}", chance::uuid(cx.node.chance.as_ref())),
        account: cx.account().to_owned(),
        region: cx.region.to_string(),
        store_arn: store.arn,
        prompt,
        statement,
        created_ms: cx.now.as_millisecond(),
    };
    cx.node.catalog.add_query_alias(&alias).await.map_err(internal)?;
    Ok(GenerateQueryResponse {
        query_statement: Some(alias.statement),
        query_alias: Some(alias.alias),
        event_data_store_owner_account_id: None,
    })
}

/// The model's statement, if one is configured, answers, and its statement could be started.
async fn from_model(cx: Cx<'_>, prompt: &str, store_id: &str) -> Option<String> {
    let settings = cx.node.settings.model.as_ref()?;
    let samples = cx.node.samples.search(prompt);
    let examples = samples.iter().take(model::EXAMPLES).map(|(sample, _)| sample.sql.as_str());
    let examples: Vec<&str> = examples.collect();
    let statement = match model::ask(settings, prompt, store_id, &examples, cx.now).await {
        Ok(statement) => statement,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the model gave no query");
            return None;
        }
    };
    match checked(cx, &statement, &[]).await {
        // It may have named another store of the caller's, which was not asked for.
        Ok((stores, _)) if stores.iter().all(|store| store.name == store_id) => Some(statement),
        Ok(_) => None,
        Err(error) => {
            tracing::info!(%error, "the model's query does not hold");
            None
        }
    }
}
