use api::cloudtrail::{
    SearchSampleQueriesRequest, SearchSampleQueriesResponse, SearchSampleQueriesSearchResult,
};
use api::{ApiError, ErrorCode};

use crate::operations::{Cx, paging};

/// API reference: 10 by default, at most 50.
const RESULTS_DEFAULT: i32 = 10;

/// Sample queries that have words of the phrase, the most relevant first.
pub async fn search_sample_queries(
    cx: Cx<'_>,
    input: SearchSampleQueriesRequest,
) -> Result<SearchSampleQueriesResponse, ApiError> {
    let phrase = input.search_phrase.unwrap_or_default();
    let count = usize::try_from(input.max_results.unwrap_or(RESULTS_DEFAULT)).unwrap_or(1);
    let listing = paging::listing(cx, "SearchSampleQueries", &phrase);
    let from =
        paging::place(&listing, input.next_token.as_deref(), ErrorCode::InvalidParameterException)?;
    let from = usize::try_from(from.unwrap_or(0)).unwrap_or(usize::MAX);
    let found = cx.node.samples.search(&phrase);
    let more = found.len() > from.saturating_add(count);
    let results = found
        .into_iter()
        .skip(from)
        .take(count)
        .map(|(sample, relevance)| SearchSampleQueriesSearchResult {
            name: Some(sample.name.clone()),
            description: Some(sample.description.clone()),
            sql: Some(sample.sql.clone()),
            relevance: Some(relevance),
        })
        .collect();
    Ok(SearchSampleQueriesResponse {
        search_results: Some(results),
        next_token: more.then(|| paging::token(&listing, (from + count) as u64)),
    })
}
