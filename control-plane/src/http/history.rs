//! What happened to a run, and what its functions wrote.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use weir_model::RunId;

use super::extract::{Params, limit};
use super::resources::{Event, EventPage, LogEntry, LogPage, size};
use super::source::{RunSource, Source};
use super::{Api, Problem};
use crate::history::Summary;

/// Events read at once for an answer. One of a task in a wide shuffle takes a megabyte.
const READ_AT_ONCE: usize = 50;
/// Bytes of events after which an answer has enough of them.
const PAGE_BYTES: usize = 4 << 20;
/// Events read at once in search of log lines.
const SCANNED_AT_ONCE: u32 = 100;
/// Events searched for one answer.
const SCANNED: usize = 10_000;

/// Which part to give.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageParams {
    /// The `next_cursor` of the page before.
    after: Option<String>,
    /// At most this many, from 1 to 1000; 100 when it is left out. A page may have fewer although more follow.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// The log of a run, in order.
#[utoipa::path(
    get, path = "/api/v1/runs/{run}/events", tag = "runs", operation_id = "runs_events",
    params(("run" = String, Path, description = "The run's id"), PageParams),
    responses((status = 200, body = EventPage), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn events(
    State(api): State<Api>,
    RunSource(source): RunSource,
    Params(params): Params<PageParams>,
) -> Result<Json<EventPage>, Problem> {
    let limit = limit(params.limit, 100, 1000)?;
    let after = params
        .after
        .as_deref()
        .map_or(Ok(0), str::parse::<u64>)
        .map_err(|_| Problem::invalid_after())?;
    // Databases keep places as signed numbers.
    let after = after.min(i64::MAX as u64);
    Ok(Json(page(&api, &source, after, limit as usize).await?))
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

/// Events after a place: `limit` of them, or fewer when they are large.
async fn page(api: &Api, source: &Source, mut after: u64, limit: usize) -> Result<EventPage, Problem> {
    let mut items = Vec::new();
    let mut bytes = 0;
    let complete = loop {
        let asked = (limit - items.len()).min(READ_AT_ONCE);
        let records = source.events(api, after, asked as u32).await?;
        for record in &records {
            let event = Event::listed(record);
            bytes += size(&event);
            after = event.seq;
            items.push(event);
        }
        if records.len() < asked || items.len() >= limit || bytes >= PAGE_BYTES {
            break records.len() < asked;
        }
    };
    Ok(EventPage {
        next_cursor: after.to_string(),
        complete,
        items,
    })
}

/// Lines that the user functions and logging transforms of a run wrote. An attempt's lines are there when it is over.
#[utoipa::path(
    get, path = "/api/v1/runs/{run}/logs", tag = "runs", operation_id = "runs_logs",
    params(("run" = String, Path, description = "The run's id"), PageParams),
    responses((status = 200, body = LogPage), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn logs(
    State(api): State<Api>,
    RunSource(source): RunSource,
    Params(params): Params<PageParams>,
) -> Result<Json<LogPage>, Problem> {
    let limit = limit(params.limit, 100, 1000)? as usize;
    let cursor = params
        .after
        .as_deref()
        .map_or(Ok(LogCursor::default()), LogCursor::parse)?;
    Ok(Json(match &source {
        Source::Log(run) => collect(&api, *run, cursor, limit).await?,
        Source::History(summary) => stored(&api, summary, cursor, limit).await?,
    }))
}

/// Lines of the history after a cursor.
async fn stored(api: &Api, summary: &Summary, cursor: LogCursor, limit: usize) -> Result<LogPage, Problem> {
    let from = (cursor.seq + 1, cursor.lines);
    // One more than is wanted, to know whether there are more.
    let mut lines = api.history().logs(summary, from, limit + 1).await?;
    let more = lines.get(limit).map(|line| LogCursor {
        seq: line.seq - 1,
        lines: line.place,
    });
    lines.truncate(limit);
    let end = LogCursor {
        seq: summary.last_seq(),
        lines: 0,
    };
    Ok(LogPage {
        items: lines.iter().map(LogEntry::from).collect(),
        next_cursor: more.unwrap_or(end).to_string(),
        complete: more.is_none(),
    })
}

async fn collect(api: &Api, run: RunId, mut cursor: LogCursor, limit: usize) -> Result<LogPage, Problem> {
    let mut items = Vec::new();
    let mut scanned = 0;
    let complete = 'scan: loop {
        let page = api.control_plane().run_events(run, cursor.seq, SCANNED_AT_ONCE).await?;
        for record in &page {
            for line in LogEntry::of(record).skip(cursor.lines) {
                if items.len() == limit {
                    break 'scan false;
                }
                items.push(line);
                cursor.lines += 1;
            }
            cursor = LogCursor {
                seq: record.seq,
                lines: 0,
            };
        }
        scanned += page.len();
        if page.len() < SCANNED_AT_ONCE as usize || scanned >= SCANNED {
            break page.len() < SCANNED_AT_ONCE as usize;
        }
    };
    Ok(LogPage {
        items,
        next_cursor: cursor.to_string(),
        complete,
    })
}

/// How far somebody has read: all events up to `seq`, and so many lines of the one after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LogCursor {
    seq: u64,
    lines: usize,
}

impl LogCursor {
    fn parse(text: &str) -> Result<Self, Problem> {
        let (seq, lines) = text.split_once('.').ok_or_else(Problem::invalid_after)?;
        Ok(Self {
            // Databases keep places as signed numbers.
            seq: seq
                .parse::<u64>()
                .map_err(|_| Problem::invalid_after())?
                .min(i64::MAX as u64),
            lines: lines.parse().map_err(|_| Problem::invalid_after())?,
        })
    }
}

impl std::fmt::Display for LogCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.seq, self.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_survive_their_text() {
        let cursor = LogCursor { seq: 7, lines: 3 };
        assert_eq!(LogCursor::parse(&cursor.to_string()).unwrap(), cursor);
        for text in ["", "7", "7.", ".3", "7.-1", "x.1"] {
            assert!(LogCursor::parse(text).is_err(), "{text}");
        }
    }
}
