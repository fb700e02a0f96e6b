//! Queries that nest deep, as programs write them.

use crate::support::{Place, Ran};

/// A calculation of so many terms, whose value is that of `column`.
fn calculation(column: &str, pairs: usize) -> String {
    format!("{column}{}", format!(" + {column} - {column}").repeat(pairs))
}

fn pipeline(expression: &str) -> String {
    format!(
        "pipeline:\n  type: chain\n  transforms:\n    - type: Create\n      config: {{elements: [{{a: 1}}, {{a: 2}}]}}\n    \
         - type: MapToFields\n      config:\n        language: sql\n        fields:\n          b: {{expression: \"{expression}\", \
         output_type: {{type: integer}}}}\n    - type: WriteToJson\n      config: {{path: out/b.json}}\n"
    )
}

#[track_caller]
fn assert_refused(ran: &Ran, code: i32) {
    assert_eq!(ran.code, Some(code), "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("nests deeper than"), "{}", ran.stderr);
}

#[test]
fn what_is_deep_runs_and_what_is_too_deep_is_refused() {
    let place = Place::new();
    let sum = |expression: &str| {
        let query = format!("SELECT sum({expression}) AS total FROM generate_series(1, 10) AS t(value)");
        place.weir(["sql", &query, "-o", "csv"])
    };
    let ran = sum(&calculation("value", 490));
    assert_eq!((ran.code, &*ran.stdout), (Some(0), "total\n55\n"), "{}", ran.stderr);
    let conditions: Vec<_> = (0..900).map(|n| format!("value = {n}")).collect();
    let ran = sum(&format!("CASE WHEN {} THEN 1 ELSE 0 END", conditions.join(" OR ")));
    assert_eq!((ran.code, &*ran.stdout), (Some(0), "total\n10\n"), "{}", ran.stderr);
    // Refused when it is planned, when it is put together from views, and before it is parsed.
    assert_refused(&sum(&calculation("value", 700)), 1);
    let script: Vec<_> = (0..10)
        .map(|n| {
            let from = match n {
                0 => "generate_series(1, 10) AS t(x)".to_owned(),
                n => format!("v{}", n - 1),
            };
            format!("CREATE VIEW v{n} AS SELECT {} AS x FROM {from};", calculation("x", 100))
        })
        .collect();
    place.write("views.sql", format!("{} SELECT x FROM v9", script.join("\n")));
    assert_refused(&place.weir(["sql", "-f", "views.sql"]), 1);
    place.write("long.sql", format!("SELECT {}", calculation("1", 50_000)));
    assert_refused(&place.weir(["sql", "-f", "long.sql"]), 2);

    place.write("deep.yaml", pipeline(&calculation("a", 490)));
    place.ok(["validate", "deep.yaml"]);
    place.ok(["run", "deep.yaml"]);
    let written: String = place.files("out/b.json").into_iter().map(|(_, text)| text).collect();
    assert_eq!(written.lines().count(), 2, "{written}");
    for (name, pairs) in [("deeper.yaml", 1_000), ("deepest.yaml", 50_000)] {
        place.write(name, pipeline(&calculation("a", pairs)));
        assert_refused(&place.weir(["validate", name]), 2);
        assert_refused(&place.weir(["explain", name]), 2);
        assert_refused(&place.weir(["run", name]), 1);
    }
}
