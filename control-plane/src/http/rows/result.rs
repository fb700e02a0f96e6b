//! `/api/v1/runs/{run}/result`.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use weir_model::RunId;
use weir_model::machine::RunState;

use super::super::caller::Caller;
use super::super::extract::{Params, limit};
use super::super::resources::RowPage;
use super::super::source::{RunSource, Source};
use super::super::{Api, Problem, follow};
use super::page::{Collected, in_time};
use super::{RowFormat, room_for_download, room_for_page, send};
use crate::RunResult;

/// Which rows.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in super::super) struct RowParams {
    /// At most this many, from 1 to 10000; 100 when it is left out. A page may have fewer although more follow.
    #[param(minimum = 1, maximum = 10000)]
    pub(super) limit: Option<u32>,
    /// The `next_cursor` of the page before.
    pub(super) cursor: Option<String>,
}

/// The rows of a run's result, in their order.
///
/// A run of SQL whose statement has rows has a result when it has succeeded. As `application/json` it comes in pages.
/// With another `Accept` all rows come at once and the query is empty: `text/csv`, `application/x-ndjson`, or
/// `application/vnd.apache.arrow.stream`; a body that ends early is not whole.
#[utoipa::path(
    get, path = "/api/v1/runs/{run}/result", tag = "runs", operation_id = "runs_result",
    params(("run" = String, Path, description = "The run's id"), RowParams),
    responses(
        (status = 200, content(
            (RowPage = "application/json"),
            (String = "text/csv"),
            (String = "application/x-ndjson"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"),
        )),
        (status = 404, body = Problem, description = "There is no such run, or it has no result"),
        (status = 406, body = Problem, description = "The result does not come in what `Accept` asks for"),
        (status = 409, body = Problem, description = "The run is not over"),
        (status = 410, body = Problem, description = "The result was deleted"),
        (status = "4XX", body = Problem), (status = "5XX", body = Problem),
    ),
)]
pub(in super::super) async fn get(
    State(api): State<Api>,
    caller: Caller,
    RunSource(source): RunSource,
    Params(params): Params<RowParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let format = accepted(&headers)?;
    let run = source.run();
    let result = find(&api, &source).await?;
    let Some(format) = format else {
        return page(&api, &caller, run, result, &params).await;
    };
    if params.limit.is_some() || params.cursor.is_some() {
        return Err(Problem::invalid_query(
            "`limit` and `cursor` are for pages of `application/json`",
        ));
    }
    let room = room_for_download(&api, &caller).await?;
    let rows = in_time(&api, api.rows().result(caller.namespace(), run, result, 0)).await?;
    let mut response = send::body(rows.encode(format), room).into_response();
    let kind = HeaderValue::from_static(media_type(format));
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

/// A page of the result.
async fn page(
    api: &Api,
    caller: &Caller,
    run: RunId,
    result: RunResult,
    params: &RowParams,
) -> Result<Response, Problem> {
    let limit = limit(params.limit, 100, 10_000)? as usize;
    let first = params.cursor.as_deref().map_or(Ok(0), str::parse::<u64>);
    let first = first.map_err(|_| Problem::invalid_cursor())?;
    let _room = room_for_page(api, caller).await?;
    let read = async {
        let mut rows = api.rows().result(caller.namespace(), run, result, first).await?;
        let mut collected = Collected::default();
        let (taken, more) = collected.take(&mut *rows, limit).await?;
        Ok(RowPage {
            columns: rows.columns(),
            rows: collected.rows,
            next_cursor: more.then(|| first.saturating_add(taken).to_string()),
        })
    };
    Ok(Json(in_time(api, read).await?).into_response())
}

/// The result of a run, or why there is none.
async fn find(api: &Api, source: &Source) -> Result<RunResult, Problem> {
    let run = source.run();
    let (finished, result) = match source {
        Source::History(summary) if !summary.misses_result() => (true, api.history().result(summary).await?),
        Source::History(_) if api.options().read_only => {
            let detail =
                format!("the history of run {run} does not say where its rows are; a newer server writes that");
            return Err(Problem::new(StatusCode::GONE, "rows_gone", detail));
        }
        _ => follow::look(api, run, |state: &RunState| (state.is_finished(), RunResult::of(state))).await?,
    };
    match (finished, result) {
        (_, Some(result)) => Ok(result),
        (false, None) => Err(Problem::new(
            StatusCode::CONFLICT,
            "run_unfinished",
            format!("run {run} is not over; `GET /api/v1/runs/{run}?wait=30s` waits for its end"),
        )),
        (true, None) => Err(Problem::new(
            StatusCode::NOT_FOUND,
            "result_not_found",
            format!(
                "run {run} has no result: it did not succeed, or its rows went to files, which \
                 `GET /api/v1/runs/{run}/outputs` lists"
            ),
        )),
    }
}

/// The document that `Accept` asks for; `None` for pages.
fn accepted(headers: &HeaderMap) -> Result<Option<RowFormat>, Problem> {
    let Some(accept) = headers.get(header::ACCEPT) else {
        return Ok(None);
    };
    let accept = accept.to_str().unwrap_or_default();
    for range in accept.split(',') {
        let essence = range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" | "application/*" | "*/*" | "" => return Ok(None),
            "text/csv" => return Ok(Some(RowFormat::Csv)),
            "application/x-ndjson" | "application/jsonl" => return Ok(Some(RowFormat::JsonLines)),
            "application/vnd.apache.arrow.stream" => return Ok(Some(RowFormat::Arrow)),
            _ => {}
        }
    }
    Err(Problem::new(
        StatusCode::NOT_ACCEPTABLE,
        "not_acceptable",
        "a result comes as application/json, text/csv, application/x-ndjson or application/vnd.apache.arrow.stream",
    ))
}

fn media_type(format: RowFormat) -> &'static str {
    match format {
        RowFormat::Csv => "text/csv; charset=utf-8",
        RowFormat::JsonLines => "application/x-ndjson",
        RowFormat::Arrow => "application/vnd.apache.arrow.stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_chosen_by_what_is_accepted() {
        let of = |accept: &str| {
            let headers = [(header::ACCEPT, accept.parse().unwrap())];
            accepted(&headers.into_iter().collect()).ok()
        };
        for pages in ["application/json", "*/*", "text/html, */*;q=0.8"] {
            assert_eq!(of(pages), Some(None), "{pages}");
        }
        assert_eq!(of("text/csv; charset=utf-8"), Some(Some(RowFormat::Csv)));
        assert_eq!(of("Application/X-NDJSON"), Some(Some(RowFormat::JsonLines)));
        assert_eq!(of("application/vnd.apache.arrow.stream"), Some(Some(RowFormat::Arrow)));
        assert_eq!(of("image/png"), None);
        assert_eq!(accepted(&HeaderMap::new()).ok(), Some(None));
    }
}
