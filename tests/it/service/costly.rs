//! Jobs that would cost the service itself more than they may, by their templates and their constants.

use reqwest::Method;
use serde_json::{Value, json};

use super::fleet::{Answer, Fleet, MemberId, until};
use super::http::assert_problem;

/// Bytes by which a server may grow while it refuses templates: what answering requests takes anyway.
const GROWTH: u64 = 128 << 20;

const PIPELINE: &str = "pipeline:\n  type: chain\n  transforms:\n    - type: Create\n      config: {elements: [1]}\n    - type: LogForTesting\n";

fn submit(fleet: &Fleet, server: MemberId, pipeline: &str, parameters: Value) -> Answer {
    let body = json!({"pipeline": pipeline, "parameters": parameters});
    let headers = [("content-type", "application/json")];
    fleet.request(server, Method::POST, "/api/v1/runs", &headers, body.to_string())
}

/// The most memory that a process ever had, in bytes.
fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a process that runs");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .expect("its peak");
    let kib: u64 = line
        .split_ascii_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok())
        .expect("a number");
    kib * 1024
}

fn assert_is_cheap_to_refuse(fleet: &Fleet, server: MemberId) {
    let written = PIPELINE.replace("[1]", "[{{ rows }}]");
    let made = submit(fleet, server, &written, json!({"rows": "1, 2, 3"}));
    assert_eq!(made.status, 201, "{}", made.body);
    let run = made.body["id"].as_str().expect("an id");
    let path = format!("/api/v1/runs/{run}");
    // Planning renders it too.
    until("a plan", || {
        let run = fleet.request(server, Method::GET, &path, &[], "");
        run.body["progress"]["tasks"].as_u64().filter(|tasks| *tasks > 0)
    });

    let before = peak(fleet.pid(server));
    let doubled = "{% set all = namespace(text='0123456789') %}{% for i in range(60) %}\
                   {% set all.text = all.text ~ all.text %}{% endfor %}";
    let captured =
        "{% set text %}{% for i in range(9999) %}{% for j in range(90) %}RAW{% endfor %}{% endfor %}{% endset %}"
            .replace("RAW", &"raw ".repeat(10_000));
    let repeated = "{% set all = namespace(texts=[]) %}{% for i in range(99) %}\
                    {% set all.texts = all.texts + ['x' * (99999999 - i)] %}{% endfor %}";
    for template in [doubled, &captured, repeated] {
        let refused = submit(fleet, server, &format!("{template}\n{PIPELINE}"), json!({}));
        assert_problem(&refused, 422, "template_too_large");
    }
    // Small, and slow: each step goes through all of a text.
    let slow =
        "{% set text = 'x' * 1999999 %}{% for i in range(9999) %}{% set y = text|replace('x', 'y') %}{% endfor %}";
    let refused = submit(fleet, server, &format!("{slow}\n{PIPELINE}"), json!({}));
    assert_problem(&refused, 422, "template_too_large");

    // As many as come at once are refused one after the other, or told to come back.
    let template = format!("{doubled}\n{PIPELINE}");
    std::thread::scope(|scope| {
        let sent: Vec<_> = (0..12)
            .map(|_| scope.spawn(|| submit(fleet, server, &template, json!({}))))
            .collect();
        for answer in sent {
            let answer = answer.join().expect("an answer");
            assert_problem(&answer, 422, "template_too_large");
        }
    });
    let grown = peak(fleet.pid(server)).saturating_sub(before);
    assert!(grown < GROWTH, "the server grew by {grown} bytes");

    // What is wrong with a template is said as ever, and others are not held up.
    let wrong = submit(fleet, server, &written, json!({"row": "1"}));
    assert_problem(&wrong, 422, "invalid_pipeline");
    assert_eq!(wrong.body["errors"][0]["line"], 5, "{}", wrong.body);
    let made = submit(fleet, server, &written, json!({"rows": "4"}));
    assert_eq!(made.status, 201, "{}", made.body);
    until("the end of the processes", || {
        fleet.children(server).is_empty().then_some(())
    });
}

#[test]
fn constants_of_sql_that_are_large_are_not_computed_by_servers() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    let check = |query: &str| {
        let headers = [("content-type", "application/json")];
        let body = json!({"script": query}).to_string();
        let answer = fleet.request(server, Method::POST, "/api/v1/sql/check", &headers, body);
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        answer.body
    };
    check("SELECT 1");
    let before = peak(fleet.pid(server));
    for query in [
        "SELECT repeat('x', 1000000000) AS x",
        "SELECT lpad('x', 1000000000) AS x",
        "SELECT length(replace(repeat('a', 10000), 'a', repeat('b', 10000))) AS x",
        "SELECT array_length(generate_series(1, 100000000)) AS x",
        "SELECT array_repeat('0123456789', 100000000) AS x",
        "WITH a AS (SELECT repeat('x', 10000) AS x), b AS (SELECT repeat(x, 10000) AS x FROM a) SELECT repeat(x, 100) FROM b",
    ] {
        let checked = check(query);
        assert_eq!(checked["valid"], true, "{checked}");
    }
    let grown = peak(fleet.pid(server)).saturating_sub(before);
    assert!(grown < GROWTH, "the server grew by {grown} bytes");
    // Small ones still are.
    let checked = check("SELECT repeat('ab', 3) AS x, lpad('7', 3, '0') AS n, replace('a-b', '-', '/') AS d");
    let plan = checked["logical_plan"].as_str().expect("a plan");
    for value in ["ababab", "007", "a/b"] {
        assert!(plan.contains(value), "{plan}");
    }
}

#[test]
fn templates_that_cost_too_much_are_refused_by_servers() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[]);
    assert_is_cheap_to_refuse(&fleet, server);
}

#[test]
fn templates_that_cost_too_much_are_refused_by_development_servers() {
    let mut fleet = Fleet::bare();
    let server = fleet.dev(&[]);
    assert_is_cheap_to_refuse(&fleet, server);
}
