//! `weir explain`.

use serde_json::Value;

use crate::support::Place;

#[test]
fn an_output_with_two_readers_is_one_stage() {
    let place = Place::new();
    place.write(
        "p.yaml",
        r#"
pipeline:
  transforms:
    - type: Create
      name: Numbers
      config: {elements: [{k: 1, v: 10}, {k: 2, v: 20}]}
    - type: MapToFields
      name: Double
      input: Numbers
      config: {language: sql, fields: {k: k, v: v * 2}}
    - type: WriteToCsv
      name: All
      input: Double
      config: {path: out/all}
    - type: Combine
      input: Double
      config: {group_by: k, combine: {v: sum}}
    - type: WriteToCsv
      name: Sums
      input: Combine
      config: {path: out/sums}
"#,
    );
    let plan: Value = serde_json::from_str(&place.ok(["explain", "p.yaml", "-o", "json"])).expect("JSON");
    let stages = plan["graph"]["stages"].as_array().expect("stages");
    let doubling = stages
        .iter()
        .filter(|stage| {
            stage["transforms"]
                .as_array()
                .is_some_and(|names| names.contains(&"Double".into()))
        })
        .count();
    assert_eq!(doubling, 1, "{}", plan["stages"]);
    let text = place.ok(["explain", "p.yaml"]);
    assert!(text.contains("logical plan") && text.contains("stage 0"), "{text}");
    assert!(!place.path("out").exists(), "explaining runs nothing");

    place.ok(["run", "p.yaml"]);
    assert_eq!(
        place
            .files("out/all-")
            .iter()
            .map(|(_, text)| text.lines().count() - 1)
            .sum::<usize>(),
        2
    );
}
