//! What the functions of a run wrote.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::extract::{Params, check_search, limit, offset};
use super::resources::{LogEntry, LogFilter, LogPage, LogSeverity};
use super::source::{RunSource, Source};
use super::{Api, Problem};
use crate::history::{PlacedLine, lines};

/// Events of a log that are read at once. One of a task in a wide shuffle takes a megabyte.
const EVENTS_AT_ONCE: u32 = 100;
/// Lines of a history that are read at once: as many as its pages have.
const LINES_AT_ONCE: usize = 5_000;
/// Events and lines that are looked at for one answer.
const EVENTS: usize = 10_000;
const LINES: u64 = 50_000;

/// Which lines to give.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LogParams {
    /// The `next_cursor` of the page before.
    after: Option<String>,
    /// Lines of the run to leave out: the place of the first one that is wanted, from zero. It goes with nothing else but
    /// `limit`.
    offset: Option<u64>,
    /// Only lines whose source or text has this, in whatever case. A page may have none although more follow.
    #[param(min_length = 1, max_length = 200)]
    search: Option<String>,
    /// Only lines of this stage.
    #[param(format = Int64, minimum = 0, maximum = 4294967295u32)]
    stage: Option<u32>,
    /// Only lines of this task of the `stage`.
    #[param(format = Int64, minimum = 0, maximum = 4294967295u32)]
    task: Option<u32>,
    /// Only lines that are at least so serious.
    #[param(inline)]
    severity: Option<LogSeverity>,
    /// At most this many, from 1 to 1000; 100 when it is left out. A page may have fewer although more follow.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// Lines that the user functions and logging transforms of a run wrote. An attempt's lines are there when it is over.
#[utoipa::path(
    get, path = "/api/v1/runs/{run}/logs", tag = "runs", operation_id = "runs_logs",
    params(("run" = String, Path, description = "The run's id"), LogParams),
    responses((status = 200, body = LogPage), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn list(
    State(api): State<Api>,
    RunSource(source): RunSource,
    Params(params): Params<LogParams>,
) -> Result<Json<LogPage>, Problem> {
    let limit = limit(params.limit, 100, 1000)? as usize;
    if params.task.is_some() && params.stage.is_none() {
        return Err(Problem::invalid_query(
            "`task` is one of a stage: give its `stage` as well",
        ));
    }
    let filter = LogFilter {
        search: check_search(params.search)?,
        stage: params.stage,
        task: params.task,
        severity: params.severity,
    };
    let from = match (params.after, offset(params.offset)?) {
        (None, None) => LogCursor::default(),
        (Some(after), None) => LogCursor::parse(&after)?,
        (None, Some(offset)) if filter == LogFilter::default() => place(&api, &source, offset).await?,
        _ => {
            let detail = "`offset` counts all lines of a run: it goes neither with `after` nor with a filter";
            return Err(Problem::invalid_query(detail));
        }
    };
    Ok(Json(page(&api, &source, from, &filter, limit).await?))
}

/// Where the line of a place begins; the end, when there are not so many.
async fn place(api: &Api, source: &Source, offset: u64) -> Result<LogCursor, Problem> {
    let (found, last_seq) = match source {
        Source::Log(run) => {
            let fold = api.log_folds().of(*run);
            let mut fold = fold.lock().await;
            fold.catch_up(api, *run).await?;
            (fold.lines.place(offset), fold.table.last_seq())
        }
        Source::History(summary) => (api.history().log_place(summary, offset).await?, summary.last_seq()),
    };
    let end = LogCursor {
        seq: last_seq,
        lines: 0,
    };
    Ok(found.map_or(end, |(seq, line)| LogCursor::before(seq, line)))
}

/// Lines after a place that pass a filter: `limit` of them, or fewer when they are far between.
async fn page(
    api: &Api,
    source: &Source,
    mut cursor: LogCursor,
    filter: &LogFilter,
    limit: usize,
) -> Result<LogPage, Problem> {
    let (mut items, mut searched, mut events) = (Vec::new(), 0, 0);
    let complete = 'search: loop {
        let piece = Piece::after(api, source, cursor).await?;
        for line in &piece.lines {
            if items.len() >= limit {
                break 'search false;
            }
            searched += 1;
            cursor = LogCursor::before(line.seq, line.place + 1);
            let entry = LogEntry::from(line);
            if filter.matches(&entry) {
                items.push(entry);
            }
        }
        cursor = piece.end;
        events += piece.events;
        if piece.complete || events >= EVENTS || searched >= LINES {
            break piece.complete;
        }
    };
    Ok(LogPage {
        items,
        next_cursor: cursor.to_string(),
        complete,
        searched,
    })
}

/// Some lines that follow each other.
struct Piece {
    lines: Vec<PlacedLine>,
    /// Events that were read for them.
    events: usize,
    /// Where what comes after them begins.
    end: LogCursor,
    /// Whether there is nothing after them by now.
    complete: bool,
}

impl Piece {
    async fn after(api: &Api, source: &Source, cursor: LogCursor) -> Result<Self, Problem> {
        match source {
            Source::Log(run) => {
                let records = api.control_plane().run_events(*run, cursor.seq, EVENTS_AT_ONCE).await?;
                let mut lines_of = Vec::new();
                for record in &records {
                    let skipped = if record.seq == cursor.seq + 1 { cursor.lines } else { 0 };
                    let placed = lines(&record.event).enumerate().skip(skipped);
                    lines_of.extend(placed.map(|(place, (task, attempt, line))| PlacedLine {
                        seq: record.seq,
                        place,
                        at: record.at,
                        task,
                        attempt,
                        line: line.clone(),
                    }));
                }
                Ok(Self {
                    lines: lines_of,
                    events: records.len(),
                    end: records.last().map_or(cursor, |last| LogCursor {
                        seq: last.seq,
                        lines: 0,
                    }),
                    complete: records.len() < EVENTS_AT_ONCE as usize,
                })
            }
            Source::History(summary) => {
                let from = (cursor.seq + 1, cursor.lines);
                let lines = api.history().logs(summary, from, LINES_AT_ONCE).await?;
                let complete = lines.len() < LINES_AT_ONCE;
                let end = match lines.last().filter(|_| !complete) {
                    Some(last) => LogCursor::before(last.seq, last.place + 1),
                    None => LogCursor {
                        seq: summary.last_seq(),
                        lines: 0,
                    },
                };
                Ok(Self {
                    lines,
                    events: 0,
                    end,
                    complete,
                })
            }
        }
    }
}

/// How far somebody has read: all events up to `seq`, and so many lines of the one after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LogCursor {
    seq: u64,
    lines: usize,
}

impl LogCursor {
    /// Before a line of an event.
    fn before(seq: u64, line: usize) -> Self {
        Self {
            seq: seq.saturating_sub(1),
            lines: line,
        }
    }

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
