//! Lists of runs.

use sqlx::sqlite::Sqlite;
use sqlx::{QueryBuilder, Row as _};
use weir_model::{RunId, RunPhase};

use super::{RUN_COLUMNS, SqliteStore, database};
use crate::store::encoding::{unreadable, word};
use crate::store::rows::run_row;
use crate::store::search::label;
use crate::store::{Error, Listed, RunFilter, RunRow};

type Query = QueryBuilder<Sqlite>;

impl SqliteStore {
    pub(super) async fn list(&self, filter: &RunFilter, before: Option<RunId>, limit: u32) -> Result<Listed, Error> {
        let end = filter.end(before);
        let Some(search) = &filter.search else {
            let rows = self.page(filter, end, filter.oldest(), limit).await?;
            return Ok(Listed::full(rows, limit));
        };
        // How far this call looks is settled first: runs that are forgotten meanwhile do not move it.
        let last = self.last_of(filter, end, search.reach()).await?;
        let rows = self.page(filter, end, last.max(filter.oldest()), limit).await?;
        let mut listed = Listed::full(rows, limit);
        listed.next = listed.next.or(last);
        Ok(listed)
    }

    /// The last of so many runs, whatever a search finds of them; `None` when there are fewer.
    async fn last_of(&self, filter: &RunFilter, end: Option<RunId>, runs: u32) -> Result<Option<RunId>, Error> {
        let action = "list runs";
        let id = id(filter);
        let mut query = Query::new("SELECT ");
        query.push(id).push(" FROM runs");
        indexed(&mut query, filter, end, filter.oldest());
        query.push(" ORDER BY ").push(id).push(" DESC LIMIT 1 OFFSET ");
        query.push_bind(i64::from(runs.saturating_sub(1)));
        let row = query.build().fetch_optional(&self.readers).await;
        let Some(row) = row.map_err(database(action))? else {
            return Ok(None);
        };
        let last: String = row.try_get(0).map_err(database(action))?;
        last.parse().map(Some).map_err(|e| unreadable(&last, e))
    }

    async fn page(
        &self,
        filter: &RunFilter,
        end: Option<RunId>,
        oldest: Option<RunId>,
        limit: u32,
    ) -> Result<Vec<RunRow>, Error> {
        let mut query = Query::new(RUN_COLUMNS);
        indexed(&mut query, filter, end, oldest);
        if let Some(phase) = &filter.phase {
            query.push(" AND phase = ").push_bind(word(phase));
        }
        if let Some(outcome) = &filter.outcome {
            query.push(" AND outcome = ").push_bind(word(outcome));
        }
        for word in filter.search.iter().flat_map(|search| search.words()) {
            query.push(" AND (instr(words, ").push_bind(word.clone());
            query.push(") > 0 OR instr(id, ").push_bind(word.clone());
            query.push(") = 1)");
        }
        query.push(" ORDER BY ").push(id(filter)).push(" DESC LIMIT ");
        query.push_bind(i64::from(limit));
        let rows = query.build().fetch_all(&self.readers).await;
        rows.map_err(database("list runs"))?.iter().map(run_row).collect()
    }
}

/// What the runs are read in the order of: those with a label along the label.
fn id(filter: &RunFilter) -> &'static str {
    match filter.labels.is_empty() {
        true => "id",
        false => "labelled",
    }
}

/// The conditions that an index serves.
fn indexed(query: &mut Query, filter: &RunFilter, end: Option<RunId>, oldest: Option<RunId>) {
    let mut labels = filter.labels.iter().map(|(key, value)| label(key, value));
    if let Some(first) = labels.next() {
        query.push(" JOIN (SELECT run_id AS labelled, namespace AS of_namespace FROM run_labels WHERE label = ");
        query.push_bind(first);
        query.push(") ON labelled = id AND of_namespace = namespace");
    }
    query.push(" WHERE 1 = 1");
    for other in labels {
        query.push(" AND EXISTS (SELECT 1 FROM run_labels AS o WHERE o.run_id = id AND o.label = ");
        query.push_bind(other).push(")");
    }
    if let Some(namespace) = &filter.namespace {
        query.push(" AND namespace = ").push_bind(namespace.to_string());
        if !filter.labels.is_empty() {
            query.push(" AND of_namespace = ").push_bind(namespace.to_string());
        }
    }
    if let Some(name) = &filter.name {
        query.push(" AND name = ").push_bind(name.clone());
    }
    if let Some(pipeline) = &filter.pipeline {
        query.push(" AND pipeline = ").push_bind(pipeline.clone());
    }
    if let Some(schedule) = &filter.schedule {
        query.push(" AND schedule = ").push_bind(schedule.clone());
    }
    if filter.open || filter.phase.is_some_and(|phase| phase != RunPhase::Finished) {
        // Of those in a phase it is implied, and what the index of the few that are open is for.
        query.push(" AND cleaned = 0");
    }
    if filter.open {
        query.push(" AND outcome IS NULL");
    }
    if let Some(end) = end {
        query
            .push(" AND ")
            .push(id(filter))
            .push(" < ")
            .push_bind(end.to_string());
    }
    if let Some(oldest) = oldest {
        query
            .push(" AND ")
            .push(id(filter))
            .push(" >= ")
            .push_bind(oldest.to_string());
    }
}
