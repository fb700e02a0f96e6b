//! Traces and logs of servers and workers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::fleet::{Fleet, until};
use crate::telemetry::{Collector, Span, named};

const PIPELINE: &str = r#"
pipeline:
  type: chain
  transforms:
    - type: ReadFromCsv
      config: {path: "{{ input }}"}
    - type: Sql
      config: {query: "SELECT k, count(*) AS n FROM PCOLLECTION GROUP BY k"}
    - type: WriteToCsv
      config: {path: "{{ output }}"}
"#;

/// The names of a span and of all that it is part of, itself first.
fn path<'a>(by_id: &BTreeMap<&[u8], &'a Span>, span: &'a Span) -> Vec<&'a str> {
    let mut names = vec![&*span.name];
    let mut at = span;
    while let Some(parent) = by_id.get(&at.parent_span_id[..]) {
        names.push(&parent.name);
        at = parent;
    }
    names
}

#[test]
fn a_run_is_one_trace_through_servers_queues_and_workers() {
    let (collector, endpoint) = Collector::start();
    let mut fleet = Fleet::new();
    fleet.set("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint);
    fleet.set("OTEL_BSP_SCHEDULE_DELAY", "100");
    fleet.set("WEIR_LOG", "debug");
    fleet.set("WEIR_LOG_FORMAT", "json");
    let server = fleet.server(&[]);
    let workers = [fleet.worker(2), fleet.worker(2)];
    fleet.place.write("p.yaml", PIPELINE);
    let input = format!("input={}", fleet.put("in/rows.csv", "k\na\nb\na\n"));
    let output = format!("output=s3://{}/out/rows", fleet.bucket);
    let run = fleet.client_ok(server, ["submit", "p.yaml", "--param", &input, "--param", &output]);
    let run = run.trim();
    fleet.client_ok(server, ["runs", "watch", run]);
    let trace = fleet.run(server, run)["trace_id"].as_str().expect("a trace").to_owned();
    for member in workers.into_iter().chain([server]) {
        fleet.signal(member, "TERM");
        assert!(fleet.wait(member).success(), "it flushes and ends");
    }

    let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut spans = collector.spans();
    spans.retain(|span| hex(&span.trace_id) == trace);
    let by_id: BTreeMap<&[u8], &Span> = spans.iter().map(|span| (&span.span_id[..], span)).collect();
    let paths: BTreeSet<Vec<&str>> = spans.iter().map(|span| path(&by_id, span)).collect();
    for wanted in [
        &["run"][..],
        &["submit", "run"],
        &["plan", "run"],
        &["SQS.SendMessageBatch", "dispatch", "run"],
        &["stage", "run"],
        &["task", "stage", "run"],
        &["commit", "run"],
    ] {
        assert!(paths.contains(wanted), "no {wanted:?} in {paths:#?}");
    }
    for call in ["S3.GetObject", "S3.PutObject"] {
        let wanted = [call, "task", "stage", "run"];
        assert!(paths.contains(&wanted[..]), "no {wanted:?} in {paths:#?}");
    }
    assert_eq!(named(&spans, "run").len(), 1);

    // The log of a worker says of which task a line is.
    let logged = until("a line about a task", || {
        let lines = workers.map(|worker| fleet.log(worker)).concat();
        let lines = lines
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .into_iter()
            .find(|line| line["span"]["name"] == "task" && line["target"] == "weir_worker::attempt")
    });
    assert_eq!(logged["span"]["run"], run, "{logged}");
    assert!(
        logged["span"]["task"].is_string() && logged["span"]["execution"].is_string(),
        "{logged}"
    );
}
