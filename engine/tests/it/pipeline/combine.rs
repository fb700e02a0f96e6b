//! `Combine`.

use super::{chain, check, refused};

const ROWS: &str = "[{k: a, v: 1, f: 1.5, b: true, l: [1]}, {k: a, v: 2, f: 2.5, b: false, l: [2, 3]}, \
                    {k: b, v: 5, f: 0.5, b: true, l: []}]";

fn combined(rows: &str, config: &str) -> String {
    chain(&format!(
        "{{type: Create, config: {{elements: {rows}}}}}\n{{type: Combine, config: {config}}}\n{{type: LogForTesting}}"
    ))
}

#[tokio::test]
async fn every_function_of_beam() {
    check(
        &combined(
            ROWS,
            "{group_by: k, combine: {v: sum, mx: {value: v, fn: max}, mn: {value: f, fn: min}, al: {value: b, fn: all}, \
             an: {value: b, fn: any}, me: {value: v, fn: mean}, c: {value: v, fn: count}, s: {value: f, fn: sum}}}",
        ),
        &[
            r#"{"k": "a", "v": 3, "mx": 2, "mn": 1.5, "al": false, "an": true, "me": 1.5, "c": 2, "s": 4.0}"#,
            r#"{"k": "b", "v": 5, "mx": 5, "mn": 0.5, "al": true, "an": true, "me": 5.0, "c": 1, "s": 0.5}"#,
        ],
    )
    .await;
    check(
        &combined(
            ROWS,
            "{group_by: k, combine: {g: {value: v, fn: group}, cc: {value: l, fn: concat}}}",
        ),
        &[
            r#"{"k": "a", "g": [1, 2], "cc": [1, 2, 3]}"#,
            r#"{"k": "b", "g": [5], "cc": []}"#,
        ],
    )
    .await;
}

#[tokio::test]
async fn nulls_count_and_are_grouped_and_are_not_true() {
    check(
        &combined(
            "[{k: a, v: 1}, {k: null, v: null}, {k: a, v: null}, {k: null, v: 3}]",
            "{group_by: k, combine: {c: {value: v, fn: count}, al: {value: v, fn: all}, an: {value: v, fn: any}, \
             s: {value: v, fn: sum}}}",
        ),
        &[
            r#"{"k": "a", "c": 2, "al": false, "an": true, "s": 1}"#,
            r#"{"k": null, "c": 2, "al": false, "an": true, "s": 3}"#,
        ],
    )
    .await;
}

#[tokio::test]
async fn booleans_and_literals_aggregate() {
    check(
        &combined(
            "[{k: a, v: true}, {k: a, v: true}]",
            "{group_by: k, combine: {v: sum, m: {value: v, fn: mean}, x: {value: v, fn: max}, \
             n: {value: '1', fn: sum}}}",
        ),
        &[r#"{"k": "a", "v": 2, "m": 1.0, "x": true, "n": 2}"#],
    )
    .await;
    check(
        &combined(
            "[{k: a, v: 0}, {k: a, v: 7}]",
            "{group_by: k, combine: {v: all, w: {value: v, fn: any}}}",
        ),
        &[r#"{"k": "a", "v": false, "w": true}"#],
    )
    .await;
}

#[tokio::test]
async fn all_rows_are_one_group_and_no_rows_are_none() {
    check(
        &combined(ROWS, "{group_by: [], combine: {v: sum, n: {value: k, fn: count}}}"),
        &[r#"{"v": 8, "n": 3}"#],
    )
    .await;
    let empty = chain(&format!(
        "{{type: Create, config: {{elements: {ROWS}}}}}\n{{type: Filter, config: {{keep: v > 100}}}}\n\
         {{type: Combine, config: {{group_by: [], combine: {{v: sum}}}}}}\n{{type: LogForTesting}}"
    ));
    check(&empty, &[]).await;
}

#[tokio::test]
async fn several_keys() {
    check(
        &combined(
            "[{x: 1, y: a, v: 1}, {x: 1, y: b, v: 2}, {x: 1, y: a, v: 3}]",
            "{group_by: [y, x], combine: {v: sum}}",
        ),
        &[r#"{"y": "a", "x": 1, "v": 4}"#, r#"{"y": "b", "x": 1, "v": 2}"#],
    )
    .await;
}

#[tokio::test]
async fn aggregations_in_sql() {
    check(
        &combined(
            ROWS,
            "{language: sql, group_by: k, combine: {n: 'count(*)', total: 'sum(v) + 1', \
             mx: {value: v * 10, fn: max}}}",
        ),
        &[
            r#"{"k": "a", "n": 2, "total": 4, "mx": 20}"#,
            r#"{"k": "b", "n": 1, "total": 6, "mx": 50}"#,
        ],
    )
    .await;
    refused(
        &combined(ROWS, "{language: sql, group_by: k, combine: {n: «'sum(vv)'}}"),
        "[Combine] the input has no field `vv`; did you mean `v`?",
    )
    .await;
}

#[tokio::test]
async fn what_cannot_be_aggregated_is_refused() {
    refused(
        &combined(ROWS, "{group_by: «kk, combine: {v: sum}}"),
        "[Combine] the input has no field `kk`; did you mean `k`?",
    )
    .await;
    refused(
        &combined(ROWS, "{group_by: k, combine: {«k: count}}"),
        "[Combine] the field `k` is also grouped by; give the aggregation another name",
    )
    .await;
    refused(
        &combined("[{k: a, v: x}]", "{group_by: k, combine: {v: «sum}}"),
        "[Combine] sum takes numbers; this is string",
    )
    .await;
    refused(
        &combined("[{k: a, v: x}]", "{group_by: k, combine: {v: «concat}}"),
        "[Combine] concat takes lists; this is string",
    )
    .await;
}
