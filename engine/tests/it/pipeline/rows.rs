//! `Create`, `MapToFields`, `Filter`, `Explode`, `Flatten`, `LogForTesting`, `AssertEqual`.

use weir_model::LogLevel;

use super::{chain, check, fails, graph, refused, run};
use crate::driver::{Driver, MEMORY_BYTES};

const ROWS: &str =
    "{type: Create, config: {elements: [{a: 1, b: x, c: 1.5, t: true}, {a: 2, b: '', c: 0.5, t: false}]}}";

/// The rows above, through more transforms, and logged.
fn after(transforms: &str) -> String {
    chain(&format!("{ROWS}\n{transforms}\n{{type: LogForTesting}}"))
}

/// Rows of the one field `x`, through more transforms, and logged.
fn over(elements: &str, transforms: &str) -> String {
    chain(&format!(
        "{{type: Create, config: {{elements: {elements}}}}}\n{transforms}\n{{type: LogForTesting}}"
    ))
}

#[tokio::test]
async fn create_makes_rows_of_anything() {
    let log = |elements: &str| over(elements, "{type: Filter, config: {keep: '1 == 1'}}");
    check(&log("[1, 2.5]"), &[r#"{"element": 1.0}"#, r#"{"element": 2.5}"#]).await;
    check(&log("[x, null]"), &[r#"{"element": "x"}"#, r#"{"element": null}"#]).await;
    check(
        &log("[[1, 2], [3]]"),
        &[r#"{"element": [1, 2]}"#, r#"{"element": [3]}"#],
    )
    .await;
    check(
        &log("[1, {a: 2}]"),
        &[r#"{"element": 1, "a": null}"#, r#"{"element": null, "a": 2}"#],
    )
    .await;
    let mixed = "[{a: 1, b: x}, {b: y, c: [1, null], d: {e: 1}}, {a: 3}]";
    check(
        &log(mixed),
        &[
            r#"{"a": 1, "b": "x", "c": null, "d": null}"#,
            r#"{"a": null, "b": "y", "c": [1, null], "d": {"e": 1}}"#,
            r#"{"a": 3, "b": null, "c": null, "d": null}"#,
        ],
    )
    .await;
    check(&log("[]"), &[]).await;
}

#[tokio::test]
async fn create_needs_one_type_per_field() {
    refused(
        &chain("{type: Create, config: {elements: [{a: 1}, «{a: x}]}}\n{type: LogForTesting}"),
        "[Create] `a` is string here and integer before; give all elements one type",
    )
    .await;
}

#[tokio::test]
async fn fields_in_the_language_generic() {
    check(
        &after("{type: MapToFields, config: {fields: {n: a, i: 389, f: 1.90216, s: '\"example\"', lt: a < c}}}"),
        &[
            r#"{"n": 1, "i": 389, "f": 1.90216, "s": "example", "lt": true}"#,
            r#"{"n": 2, "i": 389, "f": 1.90216, "s": "example", "lt": false}"#,
        ],
    )
    .await;
    check(
        &after("{type: MapToFields, config: {append: true, drop: [a, t], fields: {a: c, one: 'a == t'}}}"),
        &[
            r#"{"b": "x", "c": 1.5, "a": 1.5, "one": true}"#,
            r#"{"b": "", "c": 0.5, "a": 0.5, "one": false}"#,
        ],
    )
    .await;
}

#[tokio::test]
async fn comparisons_are_those_of_python() {
    let compared = |expression: &str| {
        let map = format!("{{type: MapToFields, config: {{fields: {{x: x, y: '{expression}'}}}}}}");
        over("[{x: 1}, {x: null}]", &map)
    };
    check(
        &compared("x == 1"),
        &[r#"{"x": 1, "y": true}"#, r#"{"x": null, "y": false}"#],
    )
    .await;
    check(
        &compared("x != 1"),
        &[r#"{"x": 1, "y": false}"#, r#"{"x": null, "y": true}"#],
    )
    .await;
    check(
        &compared("x == \"1\""),
        &[r#"{"x": 1, "y": false}"#, r#"{"x": null, "y": false}"#],
    )
    .await;
    check(
        &compared("x != \"1\""),
        &[r#"{"x": 1, "y": true}"#, r#"{"x": null, "y": true}"#],
    )
    .await;
    let message = "`x` is null, which has no order; handle nulls before the comparison";
    fails(&compared("x < 3"), "null_value", message).await;
    refused(
        &over("[{x: 1}]", "{type: MapToFields, config: {fields: {y: «'x < \"1\"'}}}"),
        "[MapToFields] integer and string have no order",
    )
    .await;
}

#[tokio::test]
async fn fields_in_sql() {
    check(
        &after(
            "{type: MapToFields, config: {language: sql, fields: {u: 'UPPER(b)', s: a + c, \
             k: \"CASE WHEN t THEN 'yes' ELSE 'no' END\", q: '`a` * 10', lit: \"'A'\"}}}",
        ),
        &[
            r#"{"u": "X", "s": 2.5, "k": "yes", "q": 10, "lit": "A"}"#,
            r#"{"u": "", "s": 2.5, "k": "no", "q": 20, "lit": "A"}"#,
        ],
    )
    .await;
    // Names are told apart by case, and may be words of SQL.
    check(
        &over(
            "[{x: 1, X: 2, select: 3}]",
            "{type: MapToFields, config: {language: sql, append: true, fields: {y: 'x + 10 * X + 100 * `select`'}}}",
        ),
        &[r#"{"x": 1, "X": 2, "select": 3, "y": 321}"#],
    )
    .await;
}

#[tokio::test]
async fn expressions_in_sql_may_look_at_all_rows() {
    check(
        &after("{type: MapToFields, config: {language: sql, fields: {n: 'COUNT(*)', s: 'SUM(a)'}}}"),
        &[r#"{"n": 2, "s": 3}"#],
    )
    .await;
    check(
        &after("{type: MapToFields, config: {language: sql, fields: {a: a, n: 'RANK() OVER (ORDER BY c)'}}}"),
        &[r#"{"a": 1, "n": 2}"#, r#"{"a": 2, "n": 1}"#],
    )
    .await;
}

#[tokio::test]
async fn output_types_are_cast_to() {
    check(
        &after(
            "{type: MapToFields, config: {language: sql, fields: {s: {expression: a, output_type: string}, \
             f: {expression: a, output_type: number}, i: {expression: \"'7'\", output_type: {type: integer}}}}}",
        ),
        &[r#"{"s": "1", "f": 1.0, "i": 7}"#, r#"{"s": "2", "f": 2.0, "i": 7}"#],
    )
    .await;
}

#[tokio::test]
async fn wrong_names_are_found_and_the_near_one_is_named() {
    refused(
        &after("{type: MapToFields, config: {fields: {x: b, y: «bb}}}"),
        "[MapToFields] the input has no field `bb`; did you mean `b`?",
    )
    .await;
    refused(
        &after("{type: MapToFields, config: {language: sql, fields: {x: «'UPER(b)'}}}"),
        "[MapToFields] there is no function `uper`; did you mean `upper`?",
    )
    .await;
    refused(
        &over(
            "[{score: 1}]",
            "{type: MapToFields, config: {language: sql, fields: {x: «'scor + 1'}}}",
        ),
        "[MapToFields] the input has no field `scor`; did you mean `score`?",
    )
    .await;
    refused(
        &after("{type: MapToFields, config: {append: true, drop: [«zz], fields: {}}}"),
        "[MapToFields] the input has no field `zz`; the fields are `a`, `b`, `c`, `t`",
    )
    .await;
    refused(
        &after("{type: MapToFields, config: {append: true, fields: {«a: c}}}"),
        "[MapToFields] the input has a field `a` already; drop it, or choose another name",
    )
    .await;
}

#[tokio::test]
async fn all_problems_of_a_file_are_shown_at_once() {
    let driver = Driver::new(MEMORY_BYTES);
    let yaml = graph(
        "{type: Create, config: {elements: [{a: 1}]}}\n\
         {type: Filter, name: F, input: Create, config: {keep: x > 1}}\n\
         {type: MapToFields, name: M, input: Create, config: {fields: {y: z}}}\n\
         {type: LogForTesting, input: F}",
    );
    let Err(crate::driver::Failed::Plan(error)) = super::try_run(&driver, &yaml).await else {
        panic!("it ran")
    };
    let lines: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
    assert_eq!(
        lines,
        [
            "p.yaml:4:61: [F] the input has no field `x`; the fields are `a`",
            "p.yaml:5:72: [M] the input has no field `z`; the fields are `a`",
        ]
    );
}

#[tokio::test]
async fn filters_keep_what_is_true() {
    let kept = |keep: &str| {
        over(
            "[{x: 1}, {x: 0}, {x: null}]",
            &format!("{{type: Filter, config: {{keep: {keep}}}}}"),
        )
    };
    check(&kept("x"), &[r#"{"x": 1}"#]).await;
    check(&kept("x == 0"), &[r#"{"x": 0}"#]).await;
    check(&kept("x != 1"), &[r#"{"x": 0}"#, r#"{"x": null}"#]).await;
    check(&kept("1"), &[r#"{"x": 1}"#, r#"{"x": 0}"#, r#"{"x": null}"#]).await;
    check(
        &after("{type: Filter, config: {keep: t}}"),
        &[r#"{"a": 1, "b": "x", "c": 1.5, "t": true}"#],
    )
    .await;
    check(
        &after("{type: Filter, config: {keep: b}}"),
        &[r#"{"a": 1, "b": "x", "c": 1.5, "t": true}"#],
    )
    .await;
    let sql = "{type: Filter, config: {language: sql, keep: 'a > 1 OR b LIKE ''y%'''}}";
    check(&after(sql), &[r#"{"a": 2, "b": "", "c": 0.5, "t": false}"#]).await;
    refused(
        &after("{type: Filter, config: {language: sql, keep: «a + 1}}"),
        "[Filter] this is integer and no condition; compare it with something",
    )
    .await;
    refused(
        &after("{type: Filter, config: {language: sql, keep: «SUM(a) > 1}}"),
        "[Filter] a condition is about one row; aggregate in a transform before this one",
    )
    .await;
}

const LISTS: &str = "[{a: 1, l: [1, 2], m: [x, y, z]}, {a: 2, l: [], m: [q]}]";

#[tokio::test]
async fn lists_explode_by_position_or_in_all_combinations() {
    check(
        &over(LISTS, "{type: Explode, config: {fields: [l, m], cross_product: false}}"),
        &[
            r#"{"a": 1, "l": 1, "m": "x"}"#,
            r#"{"a": 1, "l": 2, "m": "y"}"#,
            r#"{"a": 1, "l": null, "m": "z"}"#,
            r#"{"a": 2, "l": null, "m": "q"}"#,
        ],
    )
    .await;
    check(
        &over(LISTS, "{type: Explode, config: {fields: [l, m], cross_product: true}}"),
        &[
            r#"{"a": 1, "l": 1, "m": "x"}"#,
            r#"{"a": 1, "l": 1, "m": "y"}"#,
            r#"{"a": 1, "l": 1, "m": "z"}"#,
            r#"{"a": 1, "l": 2, "m": "x"}"#,
            r#"{"a": 1, "l": 2, "m": "y"}"#,
            r#"{"a": 1, "l": 2, "m": "z"}"#,
        ],
    )
    .await;
    check(
        &over(
            "[{l: abc, n: 1}, {l: '', n: 2}]",
            "{type: Explode, config: {fields: l}}",
        ),
        &[
            r#"{"l": "a", "n": 1}"#,
            r#"{"l": "b", "n": 1}"#,
            r#"{"l": "c", "n": 1}"#,
        ],
    )
    .await;
}

#[tokio::test]
async fn what_is_no_list_does_not_explode() {
    fails(
        &over("[{l: [1]}, {l: null}]", "{type: Explode, config: {fields: l}}"),
        "null_value",
        "`l` is null, so it has no elements to explode",
    )
    .await;
    refused(
        &over("[{l: 1}]", "{type: Explode, config: {fields: «l}}"),
        "[Explode] `l` is integer, and only lists can be exploded",
    )
    .await;
}

#[tokio::test]
async fn inputs_flatten_by_name() {
    let yaml = graph(
        "{type: Create, name: A, config: {elements: [{a: 1, b: x}]}}\n\
         {type: Create, name: B, config: {elements: [{b: y, c: 2.5}]}}\n\
         {type: Create, name: C, config: {elements: [5, 6]}}\n\
         {type: Flatten, input: [A, B, C]}\n\
         {type: LogForTesting, input: Flatten}",
    );
    let expect = [
        r#"{"a": 1, "b": "x", "c": null, "element": null}"#,
        r#"{"a": null, "b": "y", "c": 2.5, "element": null}"#,
        r#"{"a": null, "b": null, "c": null, "element": 5}"#,
        r#"{"a": null, "b": null, "c": null, "element": 6}"#,
    ];
    check(&yaml, &expect).await;
    let yaml = graph(
        "{type: Create, name: A, config: {elements: [{a: 1}]}}\n\
         {type: Create, name: B, config: {elements: [{a: 1.5}]}}\n\
         {type: MapToFields, input: [A, B, A], config: {fields: {z: a}}}\n\
         {type: LogForTesting, input: MapToFields}",
    );
    check(&yaml, &[r#"{"z": 1.0}"#, r#"{"z": 1.5}"#, r#"{"z": 1.0}"#]).await;
    let yaml = graph(
        "{type: Create, name: A, config: {elements: [{a: 1}]}}\n\
         {type: Create, name: B, config: {elements: [{a: x}]}}\n\
         «{type: Flatten, input: [A, B]}\n\
         {type: LogForTesting, input: Flatten}",
    );
    let message = "[Flatten] `a` is integer in one input and string in another; give it one type before \
                   they are put together";
    refused(&yaml, message).await;
}

#[tokio::test]
async fn rows_are_logged_as_json() {
    let driver = Driver::new(MEMORY_BYTES);
    let yaml = chain(
        "{type: Create, config: {elements: [{s: 'é\"/', big: 1.0e+20, small: 0.00001, l: [true, null]}]}}\n\
         {type: LogForTesting, name: Look, config: {level: ERROR, prefix: 'P: '}}",
    );
    let run = run(&driver, &yaml).await;
    let logs: Vec<_> = run
        .outputs
        .iter()
        .flatten()
        .flat_map(|output| output.metrics.logs.clone())
        .collect();
    assert_eq!(logs.len(), 1);
    assert_eq!(
        logs[0].message,
        r#"P: {"s": "\u00e9\"/", "big": 1e+20, "small": 1e-05, "l": [true, null]}"#
    );
    assert_eq!((logs[0].level, logs[0].source.as_str()), (LogLevel::Error, "Look"));
}

#[tokio::test]
async fn equal_rows_are_equal_in_any_order() {
    let driver = Driver::new(MEMORY_BYTES);
    let asserted = |elements: &str, expect: &str| {
        chain(&format!(
            "{{type: Create, config: {{elements: {elements}}}}}\n{{type: AssertEqual, config: {{elements: {expect}}}}}"
        ))
    };
    for (elements, expect) in [
        ("[{a: 1, b: null}, {a: 2, b: x}]", "[{b: x, a: 2.0}, {a: 1}]"),
        ("[{a: 1}, {a: 1}]", "[{a: 1}, {a: true}]"),
        ("[{a: {b: [{c: x, d: null}, {c: y}]}}]", "[{a: {b: [{c: x}, {c: y}]}}]"),
        ("[1, 2]", "[2, 1]"),
        ("[]", "[]"),
    ] {
        run(&driver, &asserted(elements, expect)).await;
    }
    fails(
        &asserted(
            "[{a: 1, b: x}, {a: 2, b: y}, {a: 2, b: y}]",
            "[{a: 2, b: y}, {a: 3}, {a: 3}]",
        ),
        "assertion_failed",
        "the rows are not those that are expected\n\
         2 missing:\n  {\"a\":3}\n  {\"a\":3}\n\
         2 unexpected:\n  {\"a\": 1, \"b\": \"x\"}\n  {\"a\": 2, \"b\": \"y\"}",
    )
    .await;
    let many: Vec<_> = (1000..1050).map(|n| n.to_string()).collect();
    fails(
        &asserted("[1]", &format!("[1, {}]", many.join(", "))),
        "assertion_failed",
        "the rows are not those that are expected\n50 missing:\n  \
         {\"element\":1000}\n  \
         {\"element\":1001}\n  \
         {\"element\":1002}\n  \
         {\"element\":1003}\n  \
         {\"element\":1004}\n  \
         {\"element\":1005}\n  \
         {\"element\":1006}\n  \
         {\"element\":1007}\n  \
         {\"element\":1008}\n  \
         {\"element\":1009}\n  \
         and 40 more",
    )
    .await;
}
