//! Lists of runs.

use sqlx::postgres::Postgres;
use sqlx::{QueryBuilder, Row as _};
use weir_model::RunId;

use super::connect::{failed, within};
use super::{PostgresStore, RUN_COLUMNS};
use crate::store::encoding::{unreadable, word};
use crate::store::search::label;
use crate::store::types::Along;
use crate::store::{Error, Listed, RunFilter, RunRow};

type Query = QueryBuilder<Postgres>;

impl PostgresStore {
    pub(super) async fn list(&self, filter: &RunFilter, before: Option<RunId>, limit: u32) -> Result<Listed, Error> {
        let range = (filter.end(before), filter.oldest());
        let Some(runs) = filter.bound() else {
            let rows = self.page(page(filter, range, limit)).await?;
            return Ok(Listed::full(rows, limit));
        };
        // How far this call looks is settled first: runs that are forgotten meanwhile do not move it.
        let last = self.last(last_of(filter, range, runs)).await?;
        let rows = self.page(page(filter, (range.0, last.max(range.1)), limit)).await?;
        let mut listed = Listed::full(rows, limit);
        listed.next = listed.next.or(last);
        Ok(listed)
    }

    async fn last(&self, mut query: Query) -> Result<Option<RunId>, Error> {
        let action = "list runs";
        let row = query.build().fetch_optional(self.shared.readers.pool().await?);
        let Some(row) = within(action, row).await? else {
            return Ok(None);
        };
        let last: String = row.try_get(0).map_err(failed(action))?;
        last.parse().map(Some).map_err(|e| unreadable(&last, e))
    }

    async fn page(&self, query: Query) -> Result<Vec<RunRow>, Error> {
        self.rows("list runs", query).await
    }
}

/// Runs from one to another: all come before the first, and none before the second.
type Range = (Option<RunId>, Option<RunId>);

/// The last of so many runs, whatever a search finds of them; none when there are fewer.
fn last_of(filter: &RunFilter, range: Range, runs: u32) -> Query {
    let mut query = Query::new("SELECT ");
    query.push(id(filter)).push(" FROM runs AS r");
    indexed(&mut query, filter, range);
    query.push(" ORDER BY ").push(id(filter)).push(" DESC LIMIT 1 OFFSET ");
    query.push_bind(i64::from(runs.saturating_sub(1)));
    query
}

/// Those that are wanted of the runs of a range.
fn page(filter: &RunFilter, range: Range, limit: u32) -> Query {
    let mut query = Query::new(RUN_COLUMNS);
    indexed(&mut query, filter, range);
    rest(&mut query, filter);
    query.push(" ORDER BY ").push(id(filter)).push(" DESC LIMIT ");
    query.push_bind(i64::from(limit));
    query
}

/// What the runs are read in the order of: those with a label along the label.
fn id(filter: &RunFilter) -> &'static str {
    match filter.along() {
        Along::Label(_) => "f.run_id",
        _ => "r.id",
    }
}

/// The conditions that one index serves.
fn indexed(query: &mut Query, filter: &RunFilter, (end, oldest): Range) {
    let along = filter.along();
    if let Along::Label((key, value)) = along {
        query.push(" JOIN run_labels AS f ON f.run_id = r.id AND f.namespace = r.namespace AND f.label = ");
        query.push_bind(label(key, value));
    }
    query.push(" WHERE true");
    if let Some(namespace) = &filter.namespace {
        query.push(" AND r.namespace = ").push_bind(namespace.to_string());
        if let Along::Label(_) = along {
            query.push(" AND f.namespace = ").push_bind(namespace.to_string());
        }
    }
    match along {
        Along::Open => {
            query.push(" AND NOT r.cleaned");
        }
        Along::Schedule(schedule) => {
            query.push(" AND r.schedule = ").push_bind(schedule.to_owned());
        }
        Along::Pipeline(pipeline) => {
            query.push(" AND r.pipeline = ").push_bind(pipeline.to_owned());
        }
        Along::Name(name) => {
            query.push(" AND r.name = ").push_bind(name.to_owned());
        }
        Along::Outcome(outcome) => {
            query.push(" AND r.outcome = ").push_bind(word(&outcome));
        }
        Along::Label(_) | Along::All => {}
    }
    for (bound, comparison) in [(end, " < "), (oldest, " >= ")] {
        if let Some(bound) = bound {
            query.push(" AND ").push(id(filter)).push(comparison);
            query.push_bind(bound.to_string());
        }
    }
}

/// The other conditions, which each of the runs is looked at for.
fn rest(query: &mut Query, filter: &RunFilter) {
    let along = filter.along();
    for pair in filter.labels.iter().filter(|pair| along != Along::Label(pair)) {
        query.push(" AND EXISTS (SELECT 1 FROM run_labels AS o WHERE o.run_id = r.id AND o.namespace = r.namespace");
        query
            .push(" AND o.label = ")
            .push_bind(label(&pair.0, &pair.1))
            .push(")");
    }
    let words = [
        (
            "r.schedule",
            filter.schedule.clone(),
            matches!(along, Along::Schedule(_)),
        ),
        (
            "r.pipeline",
            filter.pipeline.clone(),
            matches!(along, Along::Pipeline(_)),
        ),
        ("r.name", filter.name.clone(), matches!(along, Along::Name(_))),
        ("r.phase", filter.phase.as_ref().map(word), false),
        (
            "r.outcome",
            filter.outcome.as_ref().map(word),
            matches!(along, Along::Outcome(_)),
        ),
    ];
    for (column, wanted, is_indexed) in words {
        if let Some(wanted) = wanted.filter(|_| !is_indexed) {
            query.push(" AND ").push(column).push(" = ").push_bind(wanted);
        }
    }
    if filter.open {
        query.push(" AND r.outcome IS NULL");
    }
    for word in filter.search.iter().flat_map(|search| search.words()) {
        query.push(" AND (strpos(r.words, ").push_bind(word.clone());
        query.push(") > 0 OR starts_with(r.id, ").push_bind(word.clone());
        query.push("))");
    }
}
