//! `weir sql`.

use serde_json::{Value, json};

use crate::support::Place;

fn json_rows(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a row is JSON"))
        .collect()
}

#[test]
fn csv_json_and_folders_are_tables_and_every_format_prints() {
    let place = Place::new();
    place.write("orders.csv", "id,customer,amount\n1,ann,10.5\n2,bob,20\n3,ann,5\n");
    place.write("customers/a.jsonl", "{\"name\":\"ann\",\"city\":\"Ghent\"}\n");
    place.write("customers/b.jsonl", "{\"name\":\"bob\",\"city\":\"Lille\"}\n");
    let query =
        "SELECT city, sum(amount) AS total FROM orders JOIN customers ON customer = name GROUP BY city ORDER BY city";
    let tables = ["--table", "orders=orders.csv", "--table", "customers=customers"];
    let run = |format: &str| place.ok(["sql", query, "-o", format].into_iter().chain(tables));

    assert_eq!(
        json_rows(&run("jsonl")),
        [
            json!({"city": "Ghent", "total": 15.5}),
            json!({"city": "Lille", "total": 20.0})
        ]
    );
    let array: Value = serde_json::from_str(&run("json")).expect("JSON");
    assert_eq!(array.as_array().map(Vec::len), Some(2));
    assert_eq!(run("csv"), "city,total\nGhent,15.5\nLille,20.0\n");
    assert!(run("table").contains("| Ghent | 15.5  |"), "{}", run("table"));
}

#[test]
fn several_statements_share_views_and_parquet_is_written_and_read() {
    let place = Place::new();
    place.write(
        "script.sql",
        "CREATE VIEW numbers AS SELECT value AS n FROM generate_series(1, 1000);
         COPY (SELECT n, n % 7 AS seven FROM numbers) TO 'out/sevens.parquet' STORED AS PARQUET;
         SELECT count(*) AS n, ';' AS semicolon FROM numbers;",
    );
    let out = place.ok(["sql", "-f", "script.sql", "-o", "jsonl"]);
    assert_eq!(json_rows(&out), [json!({"n": 1000, "semicolon": ";"})]);
    let files: Vec<_> = std::fs::read_dir(place.path("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(
        files
            .iter()
            .any(|name| name.starts_with("sevens-") && name.ends_with(".parquet")),
        "{files:?}"
    );
    let query = "SELECT seven, count(*) AS n FROM sevens GROUP BY seven ORDER BY seven";
    let rows = json_rows(&place.ok(["sql", query, "--table", "sevens=out/sevens-*.parquet", "-o", "jsonl"]));
    assert_eq!(rows.len(), 7);
    assert_eq!(rows[0], json!({"seven": 0, "n": 142}));
}

#[test]
fn outputs_of_pipelines_are_tables() {
    let place = Place::new();
    place.write(
        "p.yaml",
        "pipeline:\n  type: chain\n  transforms:\n    - type: Create\n      config: {elements: [{a: 1}, {a: 2}]}\n    - type: WriteToJson\n      config: {path: out/numbers.json}\n",
    );
    place.ok(["run", "p.yaml"]);
    for path in ["out/numbers.json-*", "out"] {
        let table = format!("numbers={path}");
        let out = place.ok([
            "sql",
            "SELECT sum(a) AS total FROM numbers",
            "--table",
            &table,
            "-o",
            "csv",
        ]);
        assert_eq!(out, "total\n3\n", "{path}");
    }
}

#[test]
fn explain_shows_stages() {
    let place = Place::new();
    let out = place.ok([
        "sql",
        "EXPLAIN SELECT value % 3 AS k, count(*) FROM generate_series(1, 100) GROUP BY 1 ORDER BY 1",
        "--target-partitions",
        "4",
    ]);
    for word in ["stage 0", "stage 1", "hash"] {
        assert!(out.to_lowercase().contains(word), "`{word}` is not in:\n{out}");
    }
}

#[test]
fn results_are_printed_in_order_and_not_kept() {
    let place = Place::new();
    let out = place.ok([
        "sql",
        "SELECT value FROM generate_series(1, 20000) ORDER BY value DESC",
        "-o",
        "csv",
    ]);
    let values: Vec<u64> = out.lines().skip(1).map(|line| line.parse().unwrap()).collect();
    assert_eq!(values, (1..=20_000).rev().collect::<Vec<_>>());
    let left = place.path("data/storage/runs");
    let files = walk(&left);
    assert!(files.is_empty(), "a printed result is deleted: {files:?}");
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] })
        .collect()
}

#[test]
fn mistakes_are_told_from_failures() {
    let place = Place::new();
    let ran = place.weir(["sql", "SELEC 1"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    let ran = place.weir(["sql", "CREATE VIEW v AS SELECT 1"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    let ran = place.weir(["sql", "SELECT nothing FROM generate_series(1, 2)"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("nothing"), "{}", ran.stderr);
    let ran = place.weir(["sql", "SELECT * FROM t", "--table", "t=missing.csv"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("missing.csv"), "{}", ran.stderr);
    let ran = place.weir(["sql", "SELECT CAST('x' || value AS INT) FROM generate_series(1, 2)"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("x1"), "{}", ran.stderr);
}

#[test]
fn an_empty_result_has_its_columns() {
    let place = Place::new();
    assert_eq!(
        place.ok([
            "sql",
            "SELECT value AS a FROM generate_series(1, 5) WHERE value > 9",
            "-o",
            "csv"
        ]),
        "a\n"
    );
    assert_eq!(
        place.ok([
            "sql",
            "SELECT value AS a FROM generate_series(1, 5) WHERE value > 9",
            "-o",
            "json"
        ]),
        "[]\n"
    );
}
