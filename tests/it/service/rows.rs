//! Rows that runs left, as programs and people read them from a server.

use reqwest::Method;
use serde_json::{Value, json};

use super::fleet::{Answer, Fleet, MemberId, until};
use crate::support::{Place, Started};

const JSON: (&str, &str) = ("content-type", "application/json");

fn get(fleet: &Fleet, server: MemberId, path: &str) -> Answer {
    fleet.request(server, Method::GET, path, &[], "")
}

#[track_caller]
fn problem(answer: &Answer, status: u16, code: &str) {
    let found = (answer.status, answer.body["code"].as_str());
    assert_eq!(found, (status, Some(code)), "{}", answer.body);
}

/// Submits a run and waits for its end; gives its path.
#[track_caller]
fn run(fleet: &Fleet, server: MemberId, body: Value) -> String {
    let made = fleet.request(server, Method::POST, "/api/v1/runs", &[JSON], body.to_string());
    assert_eq!(made.status, 201, "{}", made.body);
    let path = format!("/api/v1/runs/{}", made.body["id"].as_str().expect("an id"));
    let over = until("the end", || {
        let run = get(fleet, server, &format!("{path}?wait=30"));
        (run.body["state"] == "finished").then_some(run)
    });
    assert_eq!(over.body["result"], "succeeded", "{}", over.body);
    path
}

fn sql(statement: &str) -> Value {
    json!({"sql": {"statement": statement}, "settings": {"target_partitions": 3}})
}

#[test]
fn a_result_is_read_in_pages_and_as_documents() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    fleet.worker(2);
    let statement = "SELECT CAST(value AS BIGINT) AS n, CAST(value AS DOUBLE) / 2 AS half, 'é' || value AS text, \
                     CASE WHEN value % 2 = 0 THEN value END AS even FROM generate_series(1, 25) ORDER BY n";
    let path = run(&fleet, server, sql(statement));

    let mut rows = Vec::new();
    let mut next = format!("{path}/result?limit=10");
    loop {
        let page = get(&fleet, server, &next).body;
        assert_eq!(
            page["columns"][0],
            json!({"name": "n", "type": "Int64", "nullable": false}),
            "{page}"
        );
        rows.extend(page["rows"].as_array().expect("rows").clone());
        match page["next_cursor"].as_str() {
            Some(cursor) => next = format!("{path}/result?limit=10&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(rows.len(), 25);
    assert_eq!(rows[0], json!(["1", 0.5, "é1", null]));
    assert_eq!(rows[23], json!(["24", 12.0, "é24", "24"]));

    let csv = fleet.text(server, &format!("{path}/result"), &[("accept", "text/csv")]);
    assert_eq!(
        csv.lines().take(2).collect::<Vec<_>>(),
        ["n,half,text,even", "1,0.5,é1,"]
    );
    assert_eq!(csv.lines().count(), 26);
    let lines = fleet.text(server, &format!("{path}/result"), &[("accept", "application/x-ndjson")]);
    let last: Value = serde_json::from_str(lines.lines().last().expect("lines")).expect("JSON");
    assert_eq!(last, json!({"n": 25, "half": 12.5, "text": "é25", "even": null}));

    let nested = run(
        &fleet,
        server,
        sql("SELECT [1, NULL] AS list, {'a': 9007199254740993} AS pair"),
    );
    let csv_of_nested = fleet.text(server, &format!("{nested}/result"), &[("accept", "text/csv")]);
    assert_eq!(
        csv_of_nested, "list,pair\n\"[1,null]\",\"{\"\"a\"\":9007199254740993}\"\n",
        "what CSV has no word for is JSON in it"
    );

    // The same through the command line, with a table whose columns have names even when it has no rows.
    let printed = fleet.client_ok(server, ["sql", statement, "-o", "csv"]);
    assert_eq!(printed, csv);
    let none = fleet.client_ok(server, ["sql", "SELECT 1 AS a WHERE false", "-o", "csv"]);
    assert_eq!(none, "a\n");

    let other = fleet.request(
        server,
        Method::GET,
        &format!("{path}/result"),
        &[("accept", "image/png")],
        "",
    );
    problem(&other, 406, "not_acceptable");
    problem(
        &get(&fleet, server, &format!("{path}/result?cursor=x")),
        400,
        "invalid_query",
    );
    problem(
        &get(&fleet, server, &format!("{path}/result?limit=0")),
        400,
        "invalid_query",
    );
    let foreign = fleet.request(
        server,
        Method::POST,
        "/api/v1/namespaces",
        &[JSON],
        json!({"name": "other"}).to_string(),
    );
    assert_eq!(foreign.status, 201, "{}", foreign.body);
    for route in [
        "result",
        "outputs",
        "outputs/0/rows",
        "outputs/0/links",
        "outputs/0/files/0",
    ] {
        let path = format!("{path}/{route}");
        let hidden = fleet.request(server, Method::GET, &path, &[("weir-namespace", "other")], "");
        problem(&hidden, 404, "run_not_found");
    }
}

#[test]
fn outputs_in_a_bucket_are_shown_and_linked() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    fleet.worker(2);
    let input = fleet.put("in.csv", "id,name\n1,a\n2,\"b;c\"\n3,d\n");
    let bucket = fleet.bucket.clone();
    for (format, options) in [
        ("CSV", "OPTIONS (delimiter ';', has_header false)"),
        ("PARQUET", ""),
        ("JSON", ""),
    ] {
        let body = json!({"sql": {
            "statement": format!("COPY (SELECT * FROM t ORDER BY id) TO 's3://{bucket}/out/{format}/x' STORED AS {format} {options}"),
            "tables": [{"name": "t", "path": input}],
        }, "settings": {"target_partitions": 1}});
        let path = run(&fleet, server, body);
        let outputs = get(&fleet, server, &format!("{path}/outputs")).body;
        assert_eq!(outputs["items"][0]["rows"], 3, "{outputs}");
        assert_eq!(outputs["items"][0]["format"], format.to_lowercase());

        let first = get(&fleet, server, &format!("{path}/outputs/0/rows?limit=2")).body;
        let names = first["rows"].as_array().expect("rows").iter().map(|row| row[1].clone());
        assert_eq!(names.collect::<Vec<_>>(), ["a", "b;c"], "{first}");
        let cursor = first["next_cursor"].as_str().expect("more");
        let rest = get(&fleet, server, &format!("{path}/outputs/0/rows?cursor={cursor}")).body;
        assert_eq!(
            (rest["rows"].as_array().map(Vec::len), &rest["rows"][0][1]),
            (Some(1), &json!("d")),
            "{rest}"
        );
        assert_eq!(rest["next_cursor"], Value::Null);

        let links = get(&fleet, server, &format!("{path}/outputs/0/links")).body;
        let link = &links["items"][0];
        assert!(link["expires_at"].is_string(), "{links}");
        let bytes = fleet.get_from(link["url"].as_str().expect("a URL"));
        assert_eq!(
            bytes.len() as u64,
            outputs["items"][0]["bytes"].as_u64().expect("bytes")
        );
        let id = path.rsplit('/').next().expect("an id");
        let shown = fleet.client_ok(server, ["runs", "outputs", id, "--preview", "5"]);
        assert!(shown.contains("COPY") && shown.contains("b;c"), "{shown}");

        problem(
            &get(&fleet, server, &format!("{path}/outputs/1/rows")),
            404,
            "output_not_found",
        );
        problem(
            &get(&fleet, server, &format!("{path}/outputs/0/files/99")),
            404,
            "file_not_found",
        );
        problem(&get(&fleet, server, &format!("{path}/result")), 404, "result_not_found");
        let files = fleet.objects(&format!("out/{format}"));
        let (key, _) = files.iter().find(|(key, _)| key.contains("-of-")).expect("a file");
        fleet.delete(key);
        problem(
            &get(&fleet, server, &format!("{path}/outputs/0/rows")),
            410,
            "rows_gone",
        );
    }
}

#[test]
fn files_of_this_machine_are_read_through_the_server() {
    let place = Place::new();
    let log = place.path("dev.log");
    let dev = Started::logging(&place, ["dev", "--listen", "127.0.0.1:0"], &log);
    let endpoint = until("the address", || {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        let line = log.lines().find_map(|line| line.strip_prefix("listening on "));
        line.map(str::to_owned)
    });
    place.write(
        "p.yaml",
        "pipeline:\n  type: chain\n  transforms:\n    - type: Create\n      config: {elements: [{a: 1, b: x}, {a: 2, b: y}]}\n    - type: WriteToCsv\n      config: {path: out/rows, num_shards: 1}\n",
    );
    let args = ["submit", "p.yaml", "--wait", "-o", "json", "--endpoint", &endpoint];
    let run: Value = serde_json::from_str(&place.ok(args)).expect("a run");
    let get = |path: &str| {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        weir_platform::aws::install_crypto();
        runtime.block_on(async {
            let answer = reqwest::get(format!("{endpoint}{path}")).await.expect("an answer");
            (answer.status().as_u16(), answer.text().await.expect("text"))
        })
    };
    let path = format!("/api/v1/runs/{}/outputs/0", run["id"].as_str().expect("an id"));
    let (status, links) = get(&format!("{path}/links"));
    let links: Value = serde_json::from_str(&links).expect("JSON");
    assert_eq!(
        (status, &links["items"][0]["expires_at"]),
        (200, &Value::Null),
        "{links}"
    );
    let (status, text) = get(links["items"][0]["url"].as_str().expect("a path"));
    assert_eq!((status, text.as_str()), (200, "a,b\n1,x\n2,y\n"));
    let (_, rows) = get(&format!("{path}/rows"));
    let rows: Value = serde_json::from_str(&rows).expect("JSON");
    assert_eq!(rows["rows"], json!([["1", "x"], ["2", "y"]]));
    // A worker of this process has said so.
    let workers = until("a worker", || {
        let (_, workers) = get("/api/v1/workers");
        let workers: Value = serde_json::from_str(&workers).expect("JSON");
        (workers["items"].as_array().map(Vec::len) == Some(1)).then_some(workers)
    });
    assert_eq!(workers["items"][0]["state"], "active");
    dev.terminate();
}

#[test]
fn sql_is_looked_at_before_it_runs() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    let input = fleet.put("t.csv", "id,name\n1,a\n");
    let check = |script: &str| {
        let body = json!({"script": script, "tables": [{"name": "t", "path": input}]}).to_string();
        let answer = fleet.request(server, Method::POST, "/api/v1/sql/check", &[JSON], body);
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    };
    let fine = check("CREATE VIEW v AS SELECT id FROM t;\n\nSELECT id, count(*) AS n FROM v GROUP BY id;");
    assert_eq!((&fine["valid"], &fine["errors"]), (&json!(true), &json!([])), "{fine}");
    let names = fine["columns"]
        .as_array()
        .expect("columns")
        .iter()
        .map(|column| column["name"].clone());
    assert_eq!(names.collect::<Vec<_>>(), ["id", "n"]);
    assert_eq!(fine["stages"].as_array().map(Vec::len), Some(2), "{fine}");
    assert_eq!(fine["statements"][1]["line"], 3);
    for (script, line, column, word) in [
        ("SELECT id\nFRM t", 2, 5, "Expected"),
        ("SELECT 1;\n  SELEC 2", 2, 3, "SELEC"),
        ("SELECT id,\n  nme FROM t", 2, 3, "nme"),
        ("CREATE VIEW v AS\n SELECT x FROM t; SELECT 1 FROM v", 2, 9, "x"),
    ] {
        let wrong = check(script);
        let error = &wrong["errors"][0];
        assert_eq!(
            (&wrong["valid"], &error["line"], &error["column"]),
            (&json!(false), &json!(line), &json!(column)),
            "{wrong}"
        );
        assert!(
            error["message"].as_str().is_some_and(|text| text.contains(word)),
            "{wrong}"
        );
    }
    assert!(check("CREATE VIEW v AS SELECT 1")["errors"][0]["line"].is_null());
    assert!(
        get(&fleet, server, "/api/v1/runs").body["items"]
            .as_array()
            .is_some_and(Vec::is_empty)
    );
    let large = json!({"script": " ".repeat(300 << 10)}).to_string();
    problem(
        &fleet.request(server, Method::POST, "/api/v1/sql/check", &[JSON], large),
        422,
        "invalid_request",
    );
}
