//! What happened to a run.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::extract::{Params, check_search, limit};
use super::resources::{Event, EventPage, size};
use super::source::{RunSource, Source};
use super::{Api, Problem};

/// Events read at once for an answer. One of a task in a wide shuffle takes a megabyte.
const READ_AT_ONCE: usize = 50;
/// Bytes of events after which an answer has enough of them.
const PAGE_BYTES: usize = 4 << 20;
/// Events, and bytes of them, that are searched for one answer.
const SEARCHED: u64 = 10_000;
const SEARCHED_BYTES: usize = 64 << 20;

/// Which events to give.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventParams {
    /// The `next_cursor` of the page before, or the place of the event before the first one that is wanted.
    after: Option<String>,
    /// Only those whose type or details have this text, in whatever case. A page may have none although more follow.
    #[param(min_length = 1, max_length = 200)]
    search: Option<String>,
    /// At most this many, from 1 to 1000; 100 when it is left out. A page may have fewer although more follow.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// The log of a run, in order.
#[utoipa::path(
    get, path = "/api/v1/runs/{run}/events", tag = "runs", operation_id = "runs_events",
    params(("run" = String, Path, description = "The run's id"), EventParams),
    responses((status = 200, body = EventPage), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn events(
    State(api): State<Api>,
    RunSource(source): RunSource,
    Params(params): Params<EventParams>,
) -> Result<Json<EventPage>, Problem> {
    let limit = limit(params.limit, 100, 1000)?;
    let after = params
        .after
        .as_deref()
        .map_or(Ok(0), str::parse::<u64>)
        .map_err(|_| Problem::invalid_after())?;
    // Databases keep places as signed numbers.
    let after = after.min(i64::MAX as u64);
    let search = check_search(params.search)?;
    Ok(Json(
        page(&api, &source, after, search.as_deref(), limit as usize).await?,
    ))
}

/// One event of a run, whole.
#[utoipa::path(
    get, path = "/api/v1/runs/{run}/events/{seq}", tag = "runs", operation_id = "runs_event",
    params(
        ("run" = String, Path, description = "The run's id"),
        ("seq" = u64, Path, description = "The event's place in the log"),
    ),
    responses((status = 200, body = Event), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn event(
    State(api): State<Api>,
    RunSource(source): RunSource,
    Path((run, seq)): Path<(String, String)>,
) -> Result<Json<Event>, Problem> {
    // Databases keep places as signed numbers.
    let wanted = seq.parse::<u64>().ok().filter(|seq| (1..i64::MAX as u64).contains(seq));
    let found = match wanted {
        Some(seq) => source.events(&api, seq - 1, 1).await?.into_iter().next(),
        None => None,
    };
    let found = found.filter(|record| Some(record.seq) == wanted);
    found.map(|record| Json(Event::from(&record))).ok_or_else(|| {
        let detail = format!("run `{run}` has no event {seq}; `GET /api/v1/runs/{run}/events` lists them");
        Problem::new(StatusCode::NOT_FOUND, "event_not_found", detail)
    })
}

/// Events after a place that have a text: `limit` of them, or fewer when they are large or far between.
async fn page(
    api: &Api,
    source: &Source,
    mut after: u64,
    search: Option<&str>,
    limit: usize,
) -> Result<EventPage, Problem> {
    let mut items = Vec::new();
    let (mut bytes, mut searched, mut searched_bytes) = (0, 0, 0);
    let complete = loop {
        let asked = (limit - items.len()).min(READ_AT_ONCE);
        let asked = if search.is_some() { READ_AT_ONCE } else { asked };
        let records = source.events(api, after, asked as u32).await?;
        for record in &records {
            if items.len() >= limit {
                break;
            }
            after = record.seq;
            searched += 1;
            if let Some(search) = search {
                let (found, read) = Event::from(record).mentions(search);
                searched_bytes += read;
                if !found {
                    continue;
                }
            }
            let event = Event::listed(record);
            bytes += size(&event);
            items.push(event);
        }
        let read_all = records.last().is_none_or(|last| last.seq == after);
        if records.len() < asked && read_all {
            break true;
        }
        if items.len() >= limit || bytes >= PAGE_BYTES || searched >= SEARCHED || searched_bytes >= SEARCHED_BYTES {
            break false;
        }
    };
    Ok(EventPage {
        next_cursor: after.to_string(),
        complete,
        searched,
        items,
    })
}
