//! Ctrl-C.

use crate::support::{Place, Started};

#[test]
fn ctrl_c_cancels_and_leaves_nothing() {
    let place = Place::new();
    place.write(
        "p.yaml",
        r#"
pipeline:
  type: chain
  transforms:
    - type: Create
      config: {elements: [1]}
    - type: Sql
      config:
        query: >
          SELECT a.value % 10 AS k, count(*) AS n
          FROM PCOLLECTION, generate_series(1, 100000) a, generate_series(1, 100000) b
          WHERE sin(a.value * b.value) > 2 GROUP BY 1
    - type: WriteToCsv
      config: {path: out/never}
"#,
    );
    let mut run = Started::new(&place, ["run", "p.yaml", "--slots", "2"]);
    run.wait_for_event(&place, "attempt_started");
    run.kill("INT");
    let ran = run.end();
    assert_eq!(ran.code, Some(130), "{}", ran.stderr);
    assert!(ran.stderr.contains("cancelling run"), "{}", ran.stderr);
    let got = place.ok(["runs", "get", "latest"]);
    assert!(got.contains("state    cancelled"), "{got}");
    assert!(!place.path("out").exists() || std::fs::read_dir(place.path("out")).unwrap().next().is_none());
}
