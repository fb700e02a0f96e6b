//! Pipelines that are disturbed while they run. All of them write to the parameter `output`.

/// Runs until it is cancelled.
pub(crate) const ENDLESS: &str = r#"
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
      config: {path: "{{ output }}"}
"#;

/// Totals by key in a first stage that is quick, and a second one that takes the longer for each of them the more
/// `rounds` there are.
pub(crate) fn slow(keys: u32, rows: u32, rounds: usize) -> String {
    // Nested hashes: nothing that an optimiser could fold.
    let mut hashes = "CAST(total AS VARCHAR)".to_owned();
    for _ in 0..rounds {
        hashes = format!("encode(sha512({hashes}), 'hex')");
    }
    format!(
        r#"
pipeline:
  type: chain
  transforms:
    - type: Create
      config: {{elements: [1]}}
    - type: Sql
      config:
        query: SELECT value % {keys} AS k, value AS v FROM PCOLLECTION CROSS JOIN generate_series(1, {rows})
    - type: Combine
      config:
        group_by: k
        combine: {{total: {{value: v, fn: sum}}}}
    - type: MapToFields
      config:
        language: sql
        fields:
          k: k
          total: total
          slow: "{hashes}"
    - type: WriteToCsv
      config: {{path: "{{{{ output }}}}"}}
"#
    )
}
