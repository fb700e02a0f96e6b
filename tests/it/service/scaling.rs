//! Workers that come when there is work and go when there is none.

use super::fleet::{Fleet, is_running, until};

const PIPELINE: &str = r#"
pipeline:
  type: chain
  transforms:
    - type: Create
      config: {elements: [1, 2, 3, 4]}
    - type: Combine
      config:
        group_by: element
        combine: {n: {value: element, fn: count}}
    - type: WriteToCsv
      config: {path: "{{ output }}"}
"#;

fn args(idle_ms: &str) -> [&str; 8] {
    [
        "--provisioner",
        "process",
        "--workers-max",
        "2",
        "--slots",
        "1",
        "--workers-idle-ms",
        idle_ms,
    ]
}

#[test]
fn from_no_worker_to_some_and_back() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&args("1000"));
    assert!(fleet.children(server).is_empty(), "nothing to do, nobody there");
    fleet.place.write("p.yaml", PIPELINE);
    for turn in ["a", "b"] {
        let output = format!("output=s3://{}/{turn}/n", fleet.bucket);
        fleet.client_ok(server, ["submit", "p.yaml", "--param", &output, "--wait"]);
        // It can only have run on workers that the server started.
        assert_eq!(fleet.csv_lines(turn).len(), 4);
        until("workers without work to go", || {
            fleet.children(server).is_empty().then_some(())
        });
    }
    let scraped = fleet.scrape(server);
    assert!(scraped.contains("weir_workers_running"), "{scraped}");
}

#[test]
fn workers_end_with_the_server_that_started_them() {
    for signal in ["TERM", "KILL"] {
        let mut fleet = Fleet::new();
        let server = fleet.server(&args("600000"));
        fleet.place.write("p.yaml", PIPELINE);
        let output = format!("output=s3://{}/out/n", fleet.bucket);
        fleet.client_ok(server, ["submit", "p.yaml", "--param", &output, "--wait"]);
        let workers = fleet.children(server);
        assert!(!workers.is_empty(), "they stay when they have worked");
        fleet.signal(server, signal);
        assert_eq!(fleet.wait(server).success(), signal == "TERM", "{}", fleet.log(server));
        until("the workers to end", || {
            let left = workers.iter().any(|worker| is_running(*worker));
            (!left).then_some(())
        });
    }
}
