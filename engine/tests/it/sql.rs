//! SQL jobs: tables of every kind of file, set-up, output, and what is refused.

use std::fs;

use arrow::util::pretty::pretty_format_batches;
use weir_engine::PlanError;
use weir_model::{FailureKind, Job, Submission};

use crate::driver::{Driver, Failed, MEMORY_BYTES, sql};

struct Fixture {
    driver: Driver,
}

impl Fixture {
    fn new() -> Self {
        Self {
            driver: Driver::new(MEMORY_BYTES),
        }
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.driver.folder().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn submission(&self, statement: &str, setup: &[&str], tables: &[(&str, &str)]) -> Submission {
        let tables: Vec<_> = tables.iter().map(|(name, path)| (*name, (*path).to_owned())).collect();
        let mut submission = sql(statement, &tables, 2);
        submission.base = self.driver.folder().to_str().unwrap().to_owned();
        if let Job::Sql { setup: statements, .. } = &mut submission.job {
            *statements = setup.iter().map(|statement| (*statement).to_owned()).collect();
        }
        submission
    }

    async fn rows(&self, statement: &str, setup: &[&str], tables: &[(&str, &str)]) -> String {
        let rows = self
            .driver
            .rows(&self.submission(statement, setup, tables))
            .await
            .unwrap();
        pretty_format_batches(&rows).unwrap().to_string()
    }

    async fn refused(&self, statement: &str, setup: &[&str], tables: &[(&str, &str)]) -> String {
        match self.driver.rows(&self.submission(statement, setup, tables)).await {
            Err(Failed::Plan(error @ (PlanError::Query(_) | PlanError::QueryAt { .. }))) => error.to_string(),
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("`{statement}` was planned"),
        }
    }
}

#[tokio::test]
async fn tables_are_files_globs_and_folders() {
    let fixture = Fixture::new();
    fixture.file("csv/a.csv", "id,name\n1,one\n2,two\n");
    fixture.file("csv/b.csv", "id,name\n3,three\n");
    fixture.file("csv/_SUCCESS", "");
    fixture.file(
        "lines.jsonl",
        "{\"id\": 1, \"score\": 1.5}\n{\"id\": 3, \"score\": 2.5}\n",
    );
    let statement = "select name, score from a join b on a.id = b.id order by name";
    for csv in ["csv", "csv/", "csv/*.csv"] {
        let rows = fixture.rows(statement, &[], &[("a", csv), ("b", "lines.jsonl")]).await;
        assert_eq!(
            rows,
            "+-------+-------+\n| name  | score |\n+-------+-------+\n| one   | 1.5   |\n| three | 2.5   |\n+-------+-------+",
            "{csv}"
        );
    }
}

#[tokio::test]
async fn files_that_came_or_changed_since_the_last_job_are_seen() {
    let fixture = Fixture::new();
    let count = async || fixture.rows("select count(*) as c from t", &[], &[("t", "csv")]).await;
    fixture.file("csv/a.csv", "id\n1\n");
    assert!(count().await.contains("| 1 |"));
    fixture.file("csv/b.csv", "id\n2\n");
    assert!(count().await.contains("| 2 |"));
    fixture.file("csv/b.csv", "id\n2\n3\n");
    assert!(count().await.contains("| 3 |"));
}

#[tokio::test]
async fn compressed_files_are_read() {
    let fixture = Fixture::new();
    // "id\n1\n2\n", by gzip.
    let bytes = [
        31, 139, 8, 0, 0, 0, 0, 0, 2, 255, 203, 76, 225, 50, 228, 50, 226, 2, 0, 216, 36, 50, 18, 7, 0, 0, 0,
    ];
    fs::write(fixture.driver.folder().join("a.csv.gz"), bytes).unwrap();
    let rows = fixture
        .rows("select sum(id) as s from a", &[], &[("a", "a.csv.gz")])
        .await;
    assert_eq!(rows, "+---+\n| s |\n+---+\n| 3 |\n+---+");
}

#[tokio::test]
async fn series_without_columns_are_counted() {
    let fixture = Fixture::new();
    let rows = fixture
        .rows("select count(*) as c from generate_series(1, 10000)", &[], &[])
        .await;
    assert_eq!(rows, "+-------+\n| c     |\n+-------+\n| 10000 |\n+-------+");
}

#[tokio::test]
async fn set_up_defines_views_and_tables() {
    let fixture = Fixture::new();
    fixture.file("numbers.csv", "n\n1\n2\n3\n");
    let setup = [
        "create external table numbers stored as csv location 'numbers.csv' options ('format.has_header' 'true')",
        "create view odd as select n from numbers where n % 2 = 1",
    ];
    let rows = fixture.rows("select count(*) as c from odd", &setup, &[]).await;
    assert_eq!(rows, "+---+\n| c |\n+---+\n| 2 |\n+---+");
}

#[tokio::test]
async fn the_catalog_can_be_asked() {
    let fixture = Fixture::new();
    fixture.file("numbers.csv", "n,t\n1,x\n");
    let tables = [("numbers", "numbers.csv")];
    let rows = fixture.rows("describe numbers", &[], &tables).await;
    assert!(rows.contains("| n           | Int64"), "{rows}");
    let rows = fixture.rows("show tables", &[], &tables).await;
    assert!(rows.contains("| public             | numbers"), "{rows}");
    let message = fixture
        .refused("select * from information_schema.tables, numbers", &[], &tables)
        .await;
    assert!(message.contains("query it on its own"), "{message}");
}

#[tokio::test]
async fn only_tables_that_a_statement_names_are_looked_at() {
    let fixture = Fixture::new();
    fixture.file("numbers.csv", "n\n1\n2\n");
    let missing = "missing/*.csv";
    let tables = [
        ("numbers", "numbers.csv"),
        ("missing", missing),
        ("Odd Name", "numbers.csv"),
    ];
    for statement in [
        "select n from numbers",
        "select n from Numbers",
        "select n from public.numbers",
        "with missing as (select n from numbers) select n from missing",
        "select 2 as n where exists (select * from numbers)",
        "select n from v",
        "explain select n from numbers",
        "describe numbers",
    ] {
        let setup = ["create view v as select n from numbers"];
        let planned = fixture
            .driver
            .rows(&fixture.submission(statement, &setup, &tables))
            .await;
        assert!(planned.is_ok(), "{statement}: {:?}", planned.err());
    }
    for (statement, setup) in [
        ("select 1 from numbers, missing", "create view v as select 1"),
        ("select * from v", "create view v as select * from missing"),
        ("show tables", "create view v as select 1"),
        ("describe missing", "create view v as select 1"),
    ] {
        let message = fixture.refused(statement, &[setup], &tables).await;
        assert!(message.contains("no files at"), "{statement}: {message}");
    }
}

#[tokio::test]
async fn explain_shows_stages_and_runs_nothing() {
    let fixture = Fixture::new();
    fixture.file("numbers.csv", "n\n1\n");
    let rows = fixture
        .rows(
            "explain select n, count(*) from t group by n",
            &[],
            &[("t", "numbers.csv")],
        )
        .await;
    for part in [
        "logical_plan",
        "Aggregate: groupBy=[[t.n]]",
        "stage 0: scan",
        "ShuffleReaderExec: stage=0",
    ] {
        assert!(rows.contains(part), "{part} in\n{rows}");
    }
    let rows = fixture
        .rows("explain copy (select 1 as a) to 'out.csv'", &[], &[])
        .await;
    assert!(rows.contains("csv files of `COPY`"), "{rows}");
    assert!(!fixture.driver.folder().join("_weir").exists());
}

#[tokio::test]
async fn copy_writes_files() {
    let fixture = Fixture::new();
    fixture.file("numbers.csv", "n\n1\n2\n");
    let statement = "copy (select n from t) to 'out/doubles.csv' options ('format.delimiter' ';')";
    let run = fixture
        .driver
        .run(&fixture.submission(statement, &[], &[("t", "numbers.csv")]))
        .await
        .unwrap();
    let files: Vec<_> = run
        .outputs
        .last()
        .unwrap()
        .iter()
        .flat_map(|output| &output.files)
        .collect();
    let [file] = files[..] else { panic!("{files:?}") };
    assert!(file.target.ends_with("out/doubles-00000-of-00001.csv"), "{file:?}");
    let weir_model::Staged::File { path } = &file.staged else {
        panic!("{:?} is no file", file.staged);
    };
    assert_eq!(fs::read_to_string(path).unwrap(), "n\n1\n2\n");
    assert_eq!((file.rows, file.bytes), (2, 6));
}

#[tokio::test]
async fn what_cannot_run_says_what_to_do() {
    let fixture = Fixture::new();
    fixture.file("numbers.csv", "n\n1\n");
    fixture.file("notes.txt", "x");
    let tables = [("t", "numbers.csv")];
    for (statement, setup, part) in [
        ("insert into t values (1)", &[][..], "COPY (SELECT ...) TO"),
        ("create view v as select 1", &[], "add a SELECT or COPY"),
        ("select 1", &["select 2"], "only the last statement"),
        ("select 1", &["create table x as select 1"], "CREATE VIEW"),
        (
            "select 1",
            &["set datafusion.execution.batch_size = 1"],
            "settings are given with the run",
        ),
        (
            "select 1",
            &["create external table x stored as csv location 'numbers.csv' options ('format.terminator' ';')"],
            "the table option format.terminator is not supported",
        ),
        (
            "select 1",
            &["create external table x stored as csv location 'numbers.csv' options ('format.terminator' ';')"],
            "the table option format.terminator is not supported",
        ),
        ("explain analyze select 1", &[], "EXPLAIN ANALYZE"),
        ("select nothing from t", &[], "nothing"),
        ("select * frm t", &[], "Expected"),
        (
            "copy t to 'x.csv' options ('format.colour' 'red')",
            &[],
            "no option `colour`",
        ),
        ("copy t to 'gs://bucket/x.csv'", &[], "there is no storage"),
        (
            "with recursive r as (select 1 as n union all select n + 1 from r where n < 3) select * from r",
            &[],
            "recursive queries are not supported",
        ),
    ] {
        let message = fixture.refused(statement, setup, &tables).await;
        assert!(message.contains(part), "{statement}: {message}");
    }
    let message = fixture.refused("select * from t", &[], &[("t", "missing/*.csv")]).await;
    assert!(message.contains("no files at"), "{message}");
    let message = fixture.refused("select * from t", &[], &[("t", "notes.txt")]).await;
    assert!(message.contains("the format of"), "{message}");
}

#[tokio::test]
async fn errors_of_the_data_are_the_users() {
    let fixture = Fixture::new();
    fixture.file("numbers.csv", "n,t\n1,a\n0,b\n");
    for (statement, code) in [
        ("select 10 / n from t", "division_by_zero"),
        ("select cast(t as int) from t", "invalid_value"),
    ] {
        let result = fixture
            .driver
            .rows(&fixture.submission(statement, &[], &[("t", "numbers.csv")]))
            .await;
        let Err(Failed::Task(_, failed)) = result else {
            panic!("{statement}")
        };
        assert_eq!(
            (failed.failure.kind, failed.failure.code.as_str()),
            (FailureKind::User, code),
            "{failed:?}"
        );
    }
}
