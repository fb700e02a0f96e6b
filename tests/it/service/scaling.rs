//! Workers that come when there is work and go when there is none.

use super::fleet::{Fleet, until};

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

#[test]
fn from_no_worker_to_some_and_back() {
    let mut fleet = Fleet::new();
    let server = fleet.server(&[
        "--provisioner",
        "process",
        "--workers-max",
        "2",
        "--slots",
        "1",
        "--workers-idle-ms",
        "1000",
    ]);
    assert_eq!(fleet.children(server), 0, "nothing to do, nobody there");
    fleet.place.write("p.yaml", PIPELINE);
    let output = format!("output=s3://{}/out/n", fleet.bucket);
    fleet.client_ok(server, ["submit", "p.yaml", "--param", &output, "--wait"]);
    assert_eq!(fleet.csv_lines("out").len(), 4);
    // It could only run on workers that the server started.
    until("workers without work to go", || {
        (fleet.children(server) == 0).then_some(())
    });
    let scraped = fleet.scrape(server);
    assert!(scraped.contains("weir_workers_running"), "{scraped}");

    // And again, from zero.
    fleet.client_ok(
        server,
        [
            "submit",
            "p.yaml",
            "--param",
            &output.replace("/out/", "/out2/"),
            "--wait",
        ],
    );
    assert_eq!(fleet.csv_lines("out2").len(), 4);
    assert!(fleet.children(server) > 0, "it stays for a while when it has worked");
    fleet.signal(server, "TERM");
    assert!(fleet.wait(server).success(), "{}", fleet.log(server));
}
