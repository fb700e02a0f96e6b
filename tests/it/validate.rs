//! `weir validate`.

use serde_json::Value;

use crate::support::Place;

#[test]
fn problems_have_places_and_suggestions() {
    let place = Place::new();
    place.write("in.csv", "name,amount\na,1\n");
    place.write(
        "p.yaml",
        "pipeline:\n  type: chain\n  transforms:\n    - type: ReadFromCsv\n      config:\n        path: in.csv\n    - type: Filtr\n      config:\n        keep: amount > 0\n",
    );
    let ran = place.weir(["validate", "p.yaml"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("p.yaml:7:"), "{}", ran.stderr);
    assert!(ran.stderr.contains("`Filter`"), "{}", ran.stderr);

    place.write(
        "q.yaml",
        "pipeline:\n  type: chain\n  transforms:\n    - type: ReadFromCsv\n      config:\n        path: in.csv\n    - type: Filter\n      config:\n        language: sql\n        keep: amuont > 0\n",
    );
    let ran = place.weir(["validate", "q.yaml", "-o", "json"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(report["valid"], false);
    assert_eq!(report["problems"][0]["line"], 10, "{report}");
    assert!(ran.stderr.contains("amount"), "{}", ran.stderr);
    assert_eq!(place.weir(["validate", "q.yaml", "--syntax"]).code, Some(0));
}

#[test]
fn a_good_pipeline_is_valid_and_leaves_no_run() {
    let place = Place::new();
    place.write(
        "p.yaml",
        "pipeline:\n  type: chain\n  transforms:\n    - type: Create\n      config: {elements: [1, 2]}\n    - type: LogForTesting\n",
    );
    assert!(place.ok(["validate", "p.yaml"]).contains("valid"));
    assert!(!place.ok(["runs", "list"]).contains("p "));
}
