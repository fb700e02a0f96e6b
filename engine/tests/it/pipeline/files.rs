//! `ReadFrom...` and `WriteTo...`.

use std::path::Path;

use arrow::array::RecordBatchReader;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use weir_model::FailureKind;

use super::{chain, check_in, files, graph, run, stages, texts, try_run};
use crate::driver::{Driver, Failed, MEMORY_BYTES};

fn put(driver: &Driver, name: &str, content: impl AsRef<[u8]>) {
    let path = driver.folder().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// What a source reads from files.
async fn reads(inputs: &[(&str, &str)], source: &str, expect: &[&str]) {
    let driver = Driver::new(MEMORY_BYTES);
    for (name, content) in inputs {
        put(&driver, name, content);
    }
    check_in(&driver, &chain(&format!("{source}\n{{type: LogForTesting}}")), expect).await;
}

/// A source that cannot read its files says so, at the path.
async fn cannot_read(inputs: &[(&str, &str)], source: &str, expect: &str) {
    let driver = Driver::new(MEMORY_BYTES);
    for (name, content) in inputs {
        put(&driver, name, content);
    }
    let message = match try_run(&driver, &chain(&format!("{source}\n{{type: LogForTesting}}"))).await {
        Err(Failed::Plan(error)) => error.to_string(),
        Err(Failed::Task(_, failure)) => format!("{}: {}", failure.failure.code, failure.failure.message),
        Ok(_) => panic!("it ran: {source}"),
    };
    let folder = driver.folder().to_str().unwrap();
    let message = message
        .replace(folder, "BASE")
        .replace(folder.trim_start_matches('/'), "BASE");
    assert_eq!(message, expect);
}

#[tokio::test]
async fn text_is_lines() {
    reads(
        &[("a.txt", "l1\nl2\r\n\n l3 ")],
        "{type: ReadFromText, config: {path: a.txt}}",
        &[
            r#"{"line": "l1"}"#,
            r#"{"line": "l2"}"#,
            r#"{"line": ""}"#,
            r#"{"line": " l3 "}"#,
        ],
    )
    .await;
    reads(
        &[
            ("in/a.txt", "a\n"),
            ("in/b.txt", "b\n"),
            ("in/c.log", "c\n"),
            ("in/_SUCCESS", "no\n"),
        ],
        "{type: ReadFromText, config: {path: 'in/*.txt'}}",
        &[r#"{"line": "a"}"#, r#"{"line": "b"}"#],
    )
    .await;
    reads(
        &[
            ("in/a.txt", "a\n"),
            ("in/sub/b.txt", "b\n"),
            ("in/_SUCCESS", "no\n"),
            ("in/empty", ""),
        ],
        "{type: ReadFromText, config: {path: in}}",
        &[r#"{"line": "a"}"#, r#"{"line": "b"}"#],
    )
    .await;
}

#[tokio::test]
async fn compressed_text_is_read() {
    let driver = Driver::new(MEMORY_BYTES);
    // `l1\nl2\n`, as gzip writes it.
    let compressed = [
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0xff, 0xcb, 0x31, 0xe4, 0xca, 0x31, 0xe2, 0x02, 0x00,
        0xfb, 0x90, 0x60, 0x71, 0x06, 0x00, 0x00, 0x00,
    ];
    put(&driver, "a.txt.gz", compressed);
    let yaml = chain("{type: ReadFromText, config: {path: a.txt.gz}}\n{type: LogForTesting}");
    check_in(&driver, &yaml, &[r#"{"line": "l1"}"#, r#"{"line": "l2"}"#]).await;
    put(&driver, "a.txt.gz", &compressed[..compressed.len() - 9]);
    let Err(Failed::Task(_, failure)) = try_run(&driver, &yaml).await else {
        panic!("it ran")
    };
    assert_eq!(
        (failure.failure.kind, failure.failure.code.as_str()),
        (FailureKind::User, "invalid_input")
    );
    assert!(
        failure
            .failure
            .message
            .contains("a.txt.gz`: it cannot be decompressed: "),
        "{}",
        failure.failure.message
    );
}

#[tokio::test]
async fn large_text_is_split_without_losing_a_line() {
    let driver = Driver::new(MEMORY_BYTES);
    let lines: Vec<String> = (0..60_000).map(|n| format!("{n} {}", "x".repeat(n % 97))).collect();
    put(&driver, "big.txt", lines.join("\n"));
    let yaml = chain(
        "{type: ReadFromText, config: {path: big.txt}}\n\
         {type: MapToFields, config: {language: sql, fields: {n: \"CAST(split_part(line, ' ', 1) AS BIGINT)\", l: length(line)}}}\n\
         {type: Combine, config: {group_by: [], combine: {c: {value: n, fn: count}, n: sum, l: sum}}}\n\
         {type: LogForTesting}",
    );
    let run = run(&driver, &yaml).await;
    assert_eq!(run.outputs[0].len(), 3, "the file is read by three tasks");
    let length: usize = lines.iter().map(String::len).sum();
    assert_eq!(
        super::logged(&run),
        [format!(r#"{{"c": 60000, "n": 1799970000, "l": {length}}}"#)]
    );
}

#[tokio::test]
async fn long_json_is_cut_into_batches_and_parts() {
    let driver = Driver::new(MEMORY_BYTES);
    let lines: String = (0..30_000)
        .map(|n| format!("{{\"n\": {n}, \"t\": \"{}\"}}\n", "x".repeat(n % 500)))
        .collect();
    let long = format!(
        "{{\"n\": 30000, \"t\": \"{}\"}}\n{{\"n\": 30001, \"t\": \"\"}}",
        "y".repeat(9 << 20)
    );
    put(&driver, "in/a.jsonl", &lines);
    put(&driver, "in/b.jsonl", &long);
    let yaml = chain(
        "{type: ReadFromJson, config: {path: in}}\n\
         {type: MapToFields, config: {language: sql, fields: {n: n, l: length(t)}}}\n\
         {type: Combine, config: {group_by: [], combine: {c: {value: n, fn: count}, n: sum, l: sum}}}\n\
         {type: LogForTesting}",
    );
    let length: usize = (0..30_000).map(|n| n % 500).sum::<usize>() + (9 << 20);
    let expect = format!(r#"{{"c": 30002, "n": {}, "l": {length}}}"#, 30_001 * 30_002 / 2);
    check_in(&driver, &yaml, &[&expect]).await;
}

const TABLE: &str = "id,name,score,ok,mix,when,empty\n1,a,1.5,true,1,2024-01-02,\n\
                     2,\"b,\"\"q\"\" x\",,false,x,2024-01-03,\n3,NA,2,TRUE,,null,\n";

#[tokio::test]
async fn csv_is_read_as_pandas_reads_it() {
    reads(
        &[("a.csv", TABLE)],
        "{type: ReadFromCsv, config: {path: a.csv}}",
        &[
            r#"{"id": 1, "name": "a", "score": 1.5, "ok": true, "mix": "1", "when": "2024-01-02", "empty": null}"#,
            r#"{"id": 2, "name": "b,\"q\" x", "score": null, "ok": false, "mix": "x", "when": "2024-01-03", "empty": null}"#,
            r#"{"id": 3, "name": null, "score": 2.0, "ok": true, "mix": null, "when": null, "empty": null}"#,
        ],
    )
    .await;
    // Integers with missing values are floats; numbers may have spaces around them; blank lines are nothing.
    reads(
        &[("a.csv", "a,b,c\n1, 1,x\n\n,2 ,\" y\"\n3,+3")],
        "{type: ReadFromCsv, config: {path: a.csv}}",
        &[
            r#"{"a": 1.0, "b": 1, "c": "x"}"#,
            r#"{"a": null, "b": 2, "c": " y"}"#,
            r#"{"a": 3.0, "b": 3, "c": null}"#,
        ],
    )
    .await;
    // Digits are not thrown away: what is too large for an integer is text.
    reads(
        &[("a.csv", "x,y\n1,1e300\n99999999999999999999,inf\n")],
        "{type: ReadFromCsv, config: {path: a.csv}}",
        &[
            r#"{"x": "1", "y": 1e+300}"#,
            r#"{"x": "99999999999999999999", "y": Infinity}"#,
        ],
    )
    .await;
    reads(
        &[("a.csv", "n;t\n1;\"two\nlines\"\n# no\n2;'x'\n")],
        "{type: ReadFromCsv, config: {path: a.csv, delimiter: ';', comment: '#'}}",
        &[r#"{"n": 1, "t": "two\nlines"}"#, r#"{"n": 2, "t": "'x'"}"#],
    )
    .await;
}

#[tokio::test]
async fn csv_files_are_put_together_by_name() {
    reads(
        &[("c1.csv", "a,b\n1,2\n"), ("c2.csv", "b,a,c\n1.5,7,8\n")],
        "{type: ReadFromCsv, config: {path: 'c?.csv'}}",
        &[r#"{"a": 1, "b": 2.0}"#, r#"{"a": 7, "b": 1.5}"#],
    )
    .await;
    let driver = Driver::new(MEMORY_BYTES);
    put(&driver, "one.csv", "a\n1\n");
    let file = driver.folder().canonicalize().unwrap().join("one.csv");
    let yaml = chain("{type: ReadFromCsv, config: {path: one.csv, filename_column: f}}\n{type: LogForTesting}");
    check_in(&driver, &yaml, &[&format!(r#"{{"a": 1, "f": "{}"}}"#, file.display())]).await;
    cannot_read(
        &[("c1.csv", "a,b\n1,2\n"), ("c2.csv", "a,c\n1,2\n")],
        "{type: ReadFromCsv, config: {path: 'c?.csv'}}",
        "invalid_input: `BASE/c2.csv`: it has no column `b`, which the first file has; its columns are `a`, `c`",
    )
    .await;
}

#[tokio::test]
async fn files_that_are_not_what_they_seem_are_named() {
    cannot_read(
        &[("a.csv", "")],
        "{type: ReadFromCsv, config: {path: a.csv}}",
        "p.yaml:4:42: [ReadFromCsv] `BASE/a.csv`: it is empty; a CSV file has at least a header",
    )
    .await;
    cannot_read(
        &[("a.csv", "a,b\n1,2\n1,2,3\n")],
        "{type: ReadFromCsv, config: {path: a.csv}}",
        "invalid_input: `BASE/a.csv`: line 3 has 3 fields, not 2",
    )
    .await;
    let long = format!("a\n{}x\n", "1234567\n".repeat(3 << 20));
    cannot_read(
        &[("a.csv", &long)],
        "{type: ReadFromCsv, config: {path: a.csv}}",
        "invalid_input: `BASE/a.csv`: line 3145730: `x` is not an integer, as everything was in column `a` of the rows \
         that its type was taken from",
    )
    .await;
    cannot_read(
        &[("a.jsonl", "{\"a\": 1}\n[2]\n")],
        "{type: ReadFromJson, config: {path: a.jsonl}}",
        "p.yaml:4:43: [ReadFromJson] `BASE/a.jsonl`: line 2: it is not an object",
    )
    .await;
    for source in ["ReadFromText", "ReadFromCsv", "ReadFromJson", "ReadFromParquet"] {
        let column = format!("{{type: {source}, config: {{path: ").len() + 7;
        cannot_read(
            &[],
            &format!("{{type: {source}, config: {{path: 'none/*.x'}}}}"),
            &format!("p.yaml:4:{column}: [{source}] no file matches `BASE/none/*.x`"),
        )
        .await;
    }
}

#[tokio::test]
async fn json_lines_are_rows() {
    reads(
        &[(
            "a.jsonl",
            "{\"z\":1,\"b\":\"x\",\"c\":{\"d\":[1,2]},\"e\":null}\n\n{\"z\":2,\"c\":{\"d\":[]},\"e\":1.5}\n",
        )],
        "{type: ReadFromJson, config: {path: a.jsonl}}",
        &[
            r#"{"z": 1, "b": "x", "c": {"d": [1, 2]}, "e": null}"#,
            r#"{"z": 2, "b": null, "c": {"d": []}, "e": 1.5}"#,
        ],
    )
    .await;
    // As in pandas, an integer that is missing somewhere makes the column one of floats.
    reads(
        &[("a.jsonl", "{\"a\":1,\"t\":true}\n{\"a\":null}\n")],
        "{type: ReadFromJson, config: {path: a.jsonl}}",
        &[r#"{"a": 1.0, "t": true}"#, r#"{"a": null, "t": null}"#],
    )
    .await;
}

const ROWS: &str = "{type: Create, config: {elements: [{a: 1, b: 'x,y', c: 1.5, d: true}, {a: 2, b: 'q\"', c: null, \
                    d: false}, {a: 3, b: null, c: 2.0, d: true}]}}";

/// What a sink writes.
async fn writes(rows: &str, sink: &str, expect: &[(&str, &str)]) {
    let driver = Driver::new(MEMORY_BYTES);
    let run = run(&driver, &chain(&format!("{rows}\n{sink}"))).await;
    let found = texts(&run);
    let found: Vec<_> = found
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    assert_eq!(found, expect, "{sink}");
}

#[tokio::test]
async fn csv_is_written_as_pandas_writes_it() {
    let csv = "a,b,c,d\n1,\"x,y\",1.5,True\n2,\"q\"\"\",,False\n3,,2.0,True\n";
    writes(
        ROWS,
        "{type: WriteToCsv, config: {path: x.csv}}",
        &[("x.csv-00000-of-00001", csv)],
    )
    .await;
    let tabs = "a\tb\tc\td\n1\tx,y\t1.5\tTrue\n2\t\"q\"\"\"\t\tFalse\n3\t\t2.0\tTrue\n";
    writes(
        ROWS,
        "{type: WriteToCsv, config: {path: out/x, delimiter: \"\\t\"}}",
        &[("x-00000-of-00001", tabs)],
    )
    .await;
}

#[tokio::test]
async fn json_is_written_with_nulls() {
    let json = "{\"a\":1,\"b\":\"x,y\",\"c\":1.5,\"d\":true}\n{\"a\":2,\"b\":\"q\\\"\",\"c\":null,\"d\":false}\n\
                {\"a\":3,\"b\":null,\"c\":2.0,\"d\":true}\n";
    writes(
        ROWS,
        "{type: WriteToJson, config: {path: x.json}}",
        &[("x.json-00000-of-00001", json)],
    )
    .await;
    writes(
        "{type: Create, config: {elements: [{a: {b: 1, c: [1, 2]}, s: 'é/'}]}}",
        "{type: WriteToJson, config: {path: dir/}}",
        &[("dir-00000-of-00001", "{\"a\":{\"b\":1,\"c\":[1,2]},\"s\":\"é/\"}\n")],
    )
    .await;
}

#[tokio::test]
async fn text_is_written_as_python_shows_it() {
    let column = |field: &str| {
        format!(
            "{{type: MapToFields, config: {{fields: {{l: {field}}}}}}}\n{{type: WriteToText, config: {{path: x.txt}}}}"
        )
    };
    writes(ROWS, &column("b"), &[("x.txt-00000-of-00001", "x,y\nq\"\nNone\n")]).await;
    writes(ROWS, &column("c"), &[("x.txt-00000-of-00001", "1.5\nNone\n2.0\n")]).await;
    writes(ROWS, &column("d"), &[("x.txt-00000-of-00001", "True\nFalse\nTrue\n")]).await;
    super::refused(
        &chain(&format!("{ROWS}\n«{{type: WriteToText, config: {{path: x.txt}}}}")),
        "[WriteToText] WriteToText takes rows with exactly one field, and these have 4: `a`, `b`, `c`, `d`; choose one \
         with MapToFields",
    )
    .await;
}

#[tokio::test]
async fn parquet_is_written_and_read_again() {
    let driver = Driver::new(MEMORY_BYTES);
    let yaml = chain(&format!(
        "{ROWS}\n{{type: WriteToParquet, config: {{path: data/x, file_name_suffix: .parquet, codec: gzip}}}}"
    ));
    let found = files(&run(&driver, &yaml).await);
    assert_eq!(found.len(), 1);
    let (name, content) = &found[0];
    assert_eq!(name, "x-00000-of-00001.parquet");
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(content.clone())).unwrap();
    let codec = reader.metadata().row_group(0).column(0).compression();
    assert!(matches!(codec, parquet::basic::Compression::GZIP(_)), "{codec:?}");
    let reader = reader.build().unwrap();
    let names: Vec<_> = reader
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    put(&driver, "in/a b%20*.parquet", content);
    check_in(
        &driver,
        &chain("{type: ReadFromParquet, config: {path: in, columns: [c, a]}}\n{type: LogForTesting}"),
        &[
            r#"{"c": 1.5, "a": 1}"#,
            r#"{"c": null, "a": 2}"#,
            r#"{"c": 2.0, "a": 3}"#,
        ],
    )
    .await;
    let yaml = chain("{type: ReadFromParquet, config: {path: in, columns: [cc]}}\n{type: LogForTesting}");
    let Err(Failed::Plan(error)) = try_run(&driver, &yaml).await else {
        panic!("it ran")
    };
    assert_eq!(
        error.to_string(),
        "p.yaml:4:60: [ReadFromParquet] the input has no field `cc`; did you mean `c`?"
    );
}

#[tokio::test]
async fn no_rows_are_still_a_file() {
    let none = format!("{ROWS}\n{{type: Filter, config: {{keep: a > 5}}}}");
    writes(
        &none,
        "{type: WriteToCsv, config: {path: x}}",
        &[("x-00000-of-00001", "a,b,c,d\n")],
    )
    .await;
    writes(
        &none,
        "{type: WriteToJson, config: {path: x}}",
        &[("x-00000-of-00001", "")],
    )
    .await;
}

#[tokio::test]
async fn as_many_files_as_asked_for() {
    let driver = Driver::new(MEMORY_BYTES);
    for (shards, names) in [
        (1, vec!["x-00000-of-00001"]),
        (2, vec!["x-00000-of-00002", "x-00001-of-00002"]),
        (
            4,
            vec![
                "x-00000-of-00004",
                "x-00001-of-00004",
                "x-00002-of-00004",
                "x-00003-of-00004",
            ],
        ),
    ] {
        let yaml = chain(&format!(
            "{ROWS}\n{{type: WriteToJson, config: {{path: x, num_shards: {shards}}}}}"
        ));
        let found = texts(&run(&driver, &yaml).await);
        assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), names);
        assert_eq!(found.iter().map(|(_, text)| text.lines().count()).sum::<usize>(), 3);
    }
}

#[tokio::test]
async fn tasks_write_files_of_their_own() {
    let driver = Driver::new(MEMORY_BYTES);
    let lines: String = (0..400_000).map(|n| format!("{n}\n")).collect();
    put(&driver, "big.txt", &lines);
    let yaml = chain("{type: ReadFromText, config: {path: big.txt}}\n{type: WriteToText, config: {path: out/y}}");
    let run = run(&driver, &yaml).await;
    let found = texts(&run);
    assert_eq!(found.len(), run.outputs[0].len());
    assert!(found.len() > 1, "{}", found.len());
    assert_eq!(found.into_iter().map(|(_, text)| text).collect::<String>(), lines);
    let rows: u64 = run.outputs[0]
        .iter()
        .flat_map(|output| &output.files)
        .map(|file| file.rows)
        .sum();
    assert_eq!(rows, 400_000);
}

#[tokio::test]
async fn two_sinks_cannot_write_to_one_place() {
    super::refused(
        &graph(&format!(
            "{ROWS}\n{{type: WriteToCsv, name: X, input: Create, config: {{path: out/x}}}}\n\
             {{type: WriteToJson, name: Y, input: Create, config: {{path: «./out//x}}}}"
        )),
        "[Y] `X` writes to `./out//x` as well; choose another path",
    )
    .await;
}

#[tokio::test]
async fn nothing_is_visible_before_the_commit() {
    let driver = Driver::new(MEMORY_BYTES);
    let run = run(
        &driver,
        &chain(&format!("{ROWS}\n{{type: WriteToCsv, config: {{path: out/x}}}}")),
    )
    .await;
    let visible: Vec<_> = std::fs::read_dir(driver.folder().join("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(visible, ["_weir"]);
    let staged: Vec<_> = run.outputs.iter().flatten().flat_map(|output| &output.files).collect();
    let weir_model::StageOutput::Sink(info) = &run.graph.stages.last().unwrap().output else {
        panic!("no sink")
    };
    for file in &staged {
        let weir_model::Staged::File { path } = &file.staged else {
            panic!("{:?} is no file", file.staged);
        };
        assert!(Path::new(path).starts_with(&info.staging), "{path}");
        assert!(file.target.starts_with(&info.target), "{}", file.target);
    }
    assert!(info.staging.contains(&run.id.to_string()), "{}", info.staging);
    assert_eq!(stages(&run), [0, 1, 0]);
}
