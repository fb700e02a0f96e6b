//! Lists of runs.

use sqlx::sqlite::Sqlite;
use sqlx::{QueryBuilder, Row as _};
use weir_model::RunId;

use super::{RUN_COLUMNS, SqliteStore, database};
use crate::store::encoding::{unreadable, word};
use crate::store::rows::run_row;
use crate::store::search::label;
use crate::store::types::Along;
use crate::store::{Error, Listed, RunFilter, RunRow};

type Query = QueryBuilder<Sqlite>;

impl SqliteStore {
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
        let row = query.build().fetch_optional(&self.readers).await;
        let Some(row) = row.map_err(database(action))? else {
            return Ok(None);
        };
        let last: String = row.try_get(0).map_err(database(action))?;
        last.parse().map(Some).map_err(|e| unreadable(&last, e))
    }

    async fn page(&self, mut query: Query) -> Result<Vec<RunRow>, Error> {
        let rows = query.build().fetch_all(&self.readers).await;
        rows.map_err(database("list runs"))?.iter().map(run_row).collect()
    }
}

/// Runs from one to another: all come before the first, and none before the second.
type Range = (Option<RunId>, Option<RunId>);

/// The last of so many runs, whatever a search finds of them; none when there are fewer.
fn last_of(filter: &RunFilter, range: Range, runs: u32) -> Query {
    let mut query = Query::new("SELECT ");
    query.push(id(filter)).push(" FROM runs");
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
        Along::Label(_) => "labelled",
        _ => "id",
    }
}

/// The conditions that one index serves.
fn indexed(query: &mut Query, filter: &RunFilter, (end, oldest): Range) {
    let along = filter.along();
    if let Along::Label((key, value)) = along {
        query.push(" JOIN (SELECT run_id AS labelled, namespace AS of_namespace FROM run_labels WHERE label = ");
        query.push_bind(label(key, value));
        // The sign keeps the planner from all runs of the namespace: the label is what it is to begin with.
        query.push(") ON labelled = id AND of_namespace = +namespace");
    }
    query.push(" WHERE 1 = 1");
    if let Some(namespace) = &filter.namespace {
        let column = match along {
            Along::Label(_) => "of_namespace",
            _ => "namespace",
        };
        query
            .push(" AND ")
            .push(column)
            .push(" = ")
            .push_bind(namespace.to_string());
    }
    match along {
        Along::Open => {
            query.push(" AND cleaned = 0");
        }
        Along::Schedule(schedule) => {
            query.push(" AND schedule = ").push_bind(schedule.to_owned());
        }
        Along::Pipeline(pipeline) => {
            query.push(" AND pipeline = ").push_bind(pipeline.to_owned());
        }
        Along::Name(name) => {
            query.push(" AND name = ").push_bind(name.to_owned());
        }
        Along::Outcome(outcome) => {
            query.push(" AND outcome = ").push_bind(word(&outcome));
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
        query.push(" AND EXISTS (SELECT 1 FROM run_labels AS o WHERE o.run_id = id AND o.namespace = runs.namespace");
        query
            .push(" AND o.label = ")
            .push_bind(label(&pair.0, &pair.1))
            .push(")");
    }
    let words = [
        ("schedule", filter.schedule.clone(), matches!(along, Along::Schedule(_))),
        ("pipeline", filter.pipeline.clone(), matches!(along, Along::Pipeline(_))),
        ("name", filter.name.clone(), matches!(along, Along::Name(_))),
        ("phase", filter.phase.as_ref().map(word), false),
        (
            "outcome",
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
        query.push(" AND outcome IS NULL");
    }
    for word in filter.search.iter().flat_map(|search| search.words()) {
        query.push(" AND (instr(words, ").push_bind(word.clone());
        query.push(") > 0 OR instr(id, ").push_bind(word.clone());
        query.push(") = 1)");
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Execute as _};

    use super::*;
    use crate::store::plans::{RUNS, cases};
    use crate::store::sqlite::Durability;

    const FILL: [&str; 2] = [
        "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 20000)
         INSERT INTO runs (id, namespace, name, phase, outcome, created_at, last_seq, cleaned, pipeline,
                           pipeline_version, schedule)
         SELECT '01jz' || printf('%022d', n), 'many', 'job-' || n % 100, 'finished',
                CASE n % 1000 WHEN 0 THEN 'failed' ELSE 'succeeded' END, n, 1, n % 1000 <> 0, 'p-' || n % 100, 1,
                's-' || n % 100 FROM c",
        "INSERT INTO run_labels (namespace, label, run_id) SELECT namespace, 'team=a', id FROM runs",
    ];

    async fn plan(store: &SqliteStore, mut query: Query) -> String {
        let mut query = query.build();
        let arguments = query.take_arguments().unwrap().unwrap();
        let explain = format!("EXPLAIN QUERY PLAN {}", query.sql().as_str());
        let explaining = sqlx::query_with(AssertSqlSafe(explain), arguments);
        let rows = explaining.fetch_all(&store.readers).await.unwrap();
        let steps = rows.iter().map(|row| row.get::<String, _>("detail"));
        steps.collect::<Vec<_>>().join("\n")
    }

    #[tokio::test]
    async fn lists_are_read_along_an_index() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("runs.db");
        let store = SqliteStore::open(&path, Durability::Process).await.unwrap();
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
        let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
        for statement in FILL {
            let filled = sqlx::query(statement).execute(&mut connection).await.unwrap();
            assert_eq!(filled.rows_affected(), u64::from(RUNS));
        }
        for (filter, index) in cases() {
            let range = (filter.end(None), filter.oldest());
            for query in [last_of(&filter, range, 1_000), page(&filter, range, 50)] {
                let plan = plan(&store, query).await;
                assert!(plan.contains(index), "{filter:?}:\n{plan}");
                for slow in ["SCAN", "TEMP B-TREE"] {
                    assert!(!plan.contains(slow), "{filter:?}:\n{plan}");
                }
            }
        }
    }
}
