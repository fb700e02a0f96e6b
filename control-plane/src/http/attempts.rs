//! `/api/v1/runs/{run}/attempts`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use weir_model::{AttemptTable, RunId};

use super::extract::{Params, RunPath, limit};
use super::resources::{Attempt, AttemptPage};
use super::{Api, Problem};

/// Events read at once.
const EVENTS: u32 = 5_000;
/// Runs whose tables are kept, so that a look costs the events since the last one.
const KEPT: usize = 16;

/// The tables of the runs that were looked at last.
#[derive(Default)]
pub(super) struct Tables(Mutex<VecDeque<(RunId, Arc<tokio::sync::Mutex<AttemptTable>>)>>);

impl Tables {
    fn of(&self, run: RunId) -> Arc<tokio::sync::Mutex<AttemptTable>> {
        // A panic cannot leave the list between two states.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.iter().position(|(known, _)| *known == run);
        let entry = known.and_then(|at| kept.remove(at)).unwrap_or((run, Arc::default()));
        let table = Arc::clone(&entry.1);
        kept.push_back(entry);
        if kept.len() > KEPT {
            kept.pop_front();
        }
        table
    }
}

/// Which attempts to give.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AttemptParams {
    /// Only those of this stage.
    stage: Option<u32>,
    /// The `next_cursor` of the page before.
    after: Option<String>,
    /// At most this many, from 1 to 5000; 1000 when it is left out.
    #[param(minimum = 1, maximum = 5000)]
    limit: Option<u32>,
}

/// The attempts of a run's tasks, in the order in which they were dispatched. The place of an attempt never changes;
/// what is said of one that is under way does.
#[utoipa::path(
    get, path = "/api/v1/runs/{run}/attempts", tag = "runs", operation_id = "runs_attempts",
    params(("run" = String, Path, description = "The run's id"), AttemptParams),
    responses((status = 200, body = AttemptPage), (status = "4XX", body = Problem), (status = "5XX", body = Problem)),
)]
pub(super) async fn list(
    State(api): State<Api>,
    RunPath(run): RunPath,
    Params(params): Params<AttemptParams>,
) -> Result<Json<AttemptPage>, Problem> {
    let limit = limit(params.limit, 1000, 5000)? as usize;
    let after = params
        .after
        .as_deref()
        .map_or(Ok(0), str::parse::<usize>)
        .map_err(|_| {
            let detail = "`after` is not a cursor that this API gave";
            Problem::new(StatusCode::BAD_REQUEST, "invalid_query", detail)
        })?;
    let table = api.tables().of(run);
    let mut table = table.lock().await;
    loop {
        let page = api.control_plane().run_events(run, table.last_seq(), EVENTS).await?;
        page.iter().for_each(|record| table.apply(record));
        if page.len() < EVENTS as usize {
            break;
        }
    }
    if table.last_seq() == 0 {
        return Err(Problem::run_not_found(&run.to_string()));
    }
    let wanted = || {
        let rows = table.rows().iter();
        rows.filter(|row| params.stage.is_none_or(|stage| row.stage().0 == stage))
    };
    let total = wanted().count();
    let items: Vec<Attempt> = wanted().skip(after).take(limit).map(Attempt::from).collect();
    let next = after.saturating_add(items.len());
    Ok(Json(AttemptPage {
        items,
        total: total as u64,
        next_cursor: next.to_string(),
        complete: next >= total,
    }))
}
