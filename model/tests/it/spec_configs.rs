//! Configurations of transforms: defaults, short forms, Beam's options.

use weir_model::LogLevel;
use weir_model::spec::{
    AggregateFunction, Aggregation, AssertEqual, Combine, Create, ErrorHandling, Explode, Expression, Filter, Join,
    JoinCondition, JoinField, JoinFields, JoinKind, JoinStep, JoinType, Language, LogForTesting, MapToFields,
    MappedField, ReadFromCsv, ReadFromJson, ReadFromParquet, ReadFromText, Rows, Span, Spanned, Sql, TransformKind,
    Value, WasmCall, WasmFunction, WasmTransform, WriteTarget, WriteToCsv, WriteToJson, WriteToParquet, WriteToText,
};

use crate::spec_support::{dedent, parse};

fn s<T>(value: impl Into<T>) -> Spanned<T> {
    Spanned::new(value.into(), Span::default())
}

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

/// The configuration of a transform of `type_name` with one input.
#[track_caller]
fn with_input(type_name: &str, config: &str) -> TransformKind {
    let input = "input: Data";
    kind(&format!(
        "- type: Create\n  name: Data\n  config: {{elements: [1]}}\n{}",
        item(type_name, input, config)
    ))
}

/// The configuration of a transform of `type_name` without inputs.
#[track_caller]
fn source(type_name: &str, config: &str) -> TransformKind {
    kind(&item(type_name, "input: {}", config))
}

fn item(type_name: &str, input: &str, config: &str) -> String {
    let config: Vec<_> = dedent(config).lines().map(|line| format!("    {line}")).collect();
    format!(
        "- type: {type_name}\n  name: Under test\n  {input}\n  config:\n{}",
        config.join("\n")
    )
}

#[track_caller]
fn kind(transforms: &str) -> TransformKind {
    let transforms: Vec<_> = transforms.lines().map(|line| format!("    {line}")).collect();
    let provider = "providers:\n  - {type: wasm, config: {path: w.wasm}, transforms: {Words: words}}";
    let pipeline = parse(&format!(
        "pipeline:\n  transforms:\n{}\n{provider}\n",
        transforms.join("\n")
    ));
    let transform = pipeline
        .transforms
        .into_iter()
        .find(|transform| transform.name == "Under test");
    transform.expect("the transform is there").kind
}

fn rows(fields: &[&str], rows: &[&[Value]]) -> Rows {
    Rows {
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
        rows: rows.iter().map(|row| s(row.to_vec())).collect(),
        span: Span::default(),
    }
}

#[track_caller]
fn check_rows(actual: TransformKind, expect: Rows) {
    let elements = match actual {
        TransformKind::Create(Create {
            elements,
            reshuffle: true,
        }) => elements,
        TransformKind::AssertEqual(AssertEqual { elements }) => elements,
        other => panic!("{other:?}"),
    };
    assert_eq!(elements.fields, expect.fields);
    assert_eq!(elements.rows, expect.rows);
}

#[test]
fn create_makes_rows_of_anything() {
    check_rows(
        source("Create", "elements: [1, 2]"),
        rows(&["element"], &[&[Value::Int(1)], &[Value::Int(2)]]),
    );
    check_rows(source("Create", "elements: []"), rows(&[], &[]));
    check_rows(
        source(
            "Create",
            "
            elements:
              - {a: 1, b: {c: [x, 2.5, yes, null]}}
              - 7
              - {d: 2024-05-01, a: '1'}
            ",
        ),
        rows(
            &["a", "b", "element", "d"],
            &[
                &[
                    Value::Int(1),
                    Value::Map(vec![(
                        "c".to_owned(),
                        Value::List(vec![text("x"), Value::Float(2.5), Value::Bool(true), Value::Null]),
                    )]),
                    Value::Null,
                    Value::Null,
                ],
                &[Value::Null, Value::Null, Value::Int(7), Value::Null],
                &[text("1"), Value::Null, Value::Null, text("2024-05-01")],
            ],
        ),
    );
    let TransformKind::Create(create) = source("Create", "elements: [1]\nreshuffle: false") else {
        panic!()
    };
    assert!(!create.reshuffle);
}

#[test]
fn assert_equal_takes_the_same_rows() {
    check_rows(
        with_input("AssertEqual", "elements: [{a: 1}, {b: x}]"),
        rows(&["a", "b"], &[&[Value::Int(1), Value::Null], &[Value::Null, text("x")]]),
    );
}

#[test]
fn files_are_read() {
    assert_eq!(
        source("ReadFromText", "path: a*.txt"),
        TransformKind::ReadFromText(ReadFromText { path: s("a*.txt") })
    );
    let csv = ReadFromCsv {
        path: s("a.csv"),
        delimiter: s(','),
        comment: None,
        quote: s('"'),
        escape: None,
        header: true,
        names: None,
        columns: None,
        filename_column: None,
    };
    assert_eq!(
        source("ReadFromCsv", "path: a.csv"),
        TransformKind::ReadFromCsv(csv.clone())
    );
    assert_eq!(
        source(
            "ReadFromCsv",
            r##"
            path: a.csv
            delimiter: "\t"
            comment: "#"
            quotechar: "'"
            escapechar: \
            names: [x, y]
            usecols: [y]
            filename_column: file
            splittable: false
            encoding: utf-8
            "##
        ),
        TransformKind::ReadFromCsv(ReadFromCsv {
            delimiter: s('\t'),
            comment: Some(s('#')),
            quote: s('\''),
            escape: Some(s('\\')),
            header: false,
            names: Some(vec![s("x"), s("y")]),
            columns: Some(vec![s("y")]),
            filename_column: Some(s("file")),
            ..csv.clone()
        })
    );
    for (header, expect) in [("0", true), ("infer", true), ("null", false), ("no", false)] {
        let TransformKind::ReadFromCsv(read) = source("ReadFromCsv", &format!("path: a.csv\nheader: {header}")) else {
            panic!()
        };
        assert_eq!(read.header, expect, "{header}");
    }
    let TransformKind::ReadFromCsv(read) = source("ReadFromCsv", "path: a\nsep: ;\nheader: 0\nnames: [a]") else {
        panic!()
    };
    assert_eq!((*read.delimiter, read.header), (';', true));
    assert_eq!(
        source("ReadFromJson", "{path: a.json, orient: records, lines: true}"),
        TransformKind::ReadFromJson(ReadFromJson {
            path: s("a.json"),
            filename_column: None,
        })
    );
    assert_eq!(
        source("ReadFromParquet", "{path: a, columns: [x, y]}"),
        TransformKind::ReadFromParquet(ReadFromParquet {
            path: s("a"),
            columns: Some(vec![s("x"), s("y")]),
        })
    );
}

#[test]
fn files_are_written() {
    let target = WriteTarget {
        path: s("out"),
        num_shards: None,
        file_name_suffix: None,
    };
    let three = WriteTarget {
        num_shards: Some(s(3u32)),
        file_name_suffix: Some(s(".x")),
        ..target.clone()
    };
    assert_eq!(
        with_input("WriteToText", "{path: out, num_shards: 3, file_name_suffix: .x}"),
        TransformKind::WriteToText(WriteToText { target: three.clone() })
    );
    assert_eq!(
        with_input("WriteToJson", "{path: out, num_shards: 0}"),
        TransformKind::WriteToJson(WriteToJson { target: target.clone() })
    );
    assert_eq!(
        with_input("WriteToCsv", "path: out"),
        TransformKind::WriteToCsv(WriteToCsv {
            target: target.clone(),
            delimiter: s(','),
            header: true,
            quote: s('"'),
            null: String::new(),
        })
    );
    assert_eq!(
        with_input(
            "WriteToCsv",
            "{path: out, delimiter: '|', header: no, na_rep: NULL!, quotechar: '~', index: off}"
        ),
        TransformKind::WriteToCsv(WriteToCsv {
            target: target.clone(),
            delimiter: s('|'),
            header: false,
            quote: s('~'),
            null: "NULL!".to_owned(),
        })
    );
    assert_eq!(
        with_input(
            "WriteToParquet",
            "{path: out, codec: zstd, num_shards: 3, file_name_suffix: .x}"
        ),
        TransformKind::WriteToParquet(WriteToParquet {
            target: three,
            codec: Some(s("zstd")),
        })
    );
}

#[test]
fn fields_are_mapped_in_the_generic_language() {
    let field = |name: &str, expression: &str| MappedField {
        name: s(name),
        expression: Expression::Generic(s(expression)),
        output_type: None,
    };
    assert_eq!(
        with_input(
            "MapToFields",
            r#"
            append: true
            drop: old
            fields:
              copy: element
              int: 389
              float: 1.90216
              bool: yes
              str: '"example"'
              on: {expression: element}
            "#
        ),
        TransformKind::MapToFields(MapToFields {
            language: Language::Generic,
            fields: vec![
                field("copy", "element"),
                field("int", "389"),
                field("float", "1.90216"),
                field("bool", "true"),
                field("str", "\"example\""),
                field("on", "element"),
            ],
            append: true,
            drop: vec![s("old")],
            error_handling: None,
        })
    );
}

#[test]
fn fields_are_mapped_in_sql() {
    let string_type = Value::Map(vec![("type".to_owned(), text("string"))]);
    let mapped = kind(
        &[
            "- {type: Create, name: Data, config: {elements: [1]}}",
            "- {type: LogForTesting, input: Under test.errors}",
            &item(
                "MapToFields",
                "input: Data",
                "
                language: calcite
                fields:
                  up: {expression: UPPER(element), output_type: string}
                  one: 1
                error_handling: {output: errors, threshold: 0.1}
                ",
            ),
        ]
        .join("\n"),
    );
    assert_eq!(
        mapped,
        TransformKind::MapToFields(MapToFields {
            language: Language::Sql,
            fields: vec![
                MappedField {
                    name: s("up"),
                    expression: Expression::Sql(s("UPPER(element)")),
                    output_type: Some(s(string_type)),
                },
                MappedField {
                    name: s("one"),
                    expression: Expression::Sql(s("1")),
                    output_type: None,
                },
            ],
            append: false,
            drop: Vec::new(),
            error_handling: Some(ErrorHandling {
                output: s("errors"),
                threshold: Some(s(0.1)),
            }),
        })
    );
}

#[test]
fn wasm_functions_are_called_by_file_and_name() {
    let function = WasmFunction {
        path: s("udf.wasm"),
        name: s("stem"),
    };
    let array_type = Value::Map(vec![
        ("type".to_owned(), text("array")),
        (
            "items".to_owned(),
            Value::Map(vec![("type".to_owned(), text("string"))]),
        ),
    ]);
    assert_eq!(
        with_input(
            "MapToFields",
            "
            language: wasm
            fields:
              word: element
              stem:
                path: udf.wasm
                name: stem
                args: [element, lang]
                output_type: {type: array, items: {type: string}}
              same: {path: udf.wasm, name: stem}
            ",
        ),
        TransformKind::MapToFields(MapToFields {
            language: Language::Wasm,
            fields: vec![
                MappedField {
                    name: s("word"),
                    expression: Expression::Generic(s("element")),
                    output_type: None,
                },
                MappedField {
                    name: s("stem"),
                    expression: Expression::Wasm(WasmCall {
                        function: function.clone(),
                        args: Some(vec![s("element"), s("lang")]),
                    }),
                    output_type: Some(s(array_type)),
                },
                MappedField {
                    name: s("same"),
                    expression: Expression::Wasm(WasmCall {
                        function: function.clone(),
                        args: None,
                    }),
                    output_type: None,
                },
            ],
            append: false,
            drop: Vec::new(),
            error_handling: None,
        })
    );
    assert_eq!(
        with_input("Filter", "{language: wasm, keep: {path: udf.wasm, name: stem}}"),
        TransformKind::Filter(Filter {
            language: Language::Wasm,
            keep: Expression::Wasm(WasmCall { function, args: None }),
            error_handling: None,
        })
    );
}

#[test]
fn every_module_is_listed_once() {
    let pipeline = parse(
        "
        pipeline:
          type: chain
          transforms:
            - {type: Create, config: {elements: [1]}}
            - type: MapToFields
              config: {language: wasm, fields: {a: {path: b.wasm, name: f}, b: {path: w.wasm, name: f}}}
            - {type: Filter, config: {language: wasm, keep: {path: c.wasm, name: f}}}
            - type: Combine
              config: {language: wasm, group_by: a, combine: {m: {value: b, fn: {path: d.wasm, name: median}}}}
        providers:
          - {type: wasm, config: {path: w.wasm}, transforms: {A: a}}
          - {type: wasm, config: {path: v.wasm}, transforms: {B: b}}
        ",
    );
    let paths: Vec<_> = pipeline.module_paths().into_iter().map(|path| path.as_str()).collect();
    assert_eq!(paths, ["w.wasm", "v.wasm", "b.wasm", "c.wasm", "d.wasm"]);
}

#[test]
fn filters_keep() {
    let filter = |language, keep| {
        TransformKind::Filter(Filter {
            language,
            keep,
            error_handling: None,
        })
    };
    let expression = Expression::Generic(s("element > 1"));
    assert_eq!(
        with_input("Filter", "keep: element > 1"),
        filter(Language::Generic, expression.clone())
    );
    assert_eq!(
        with_input("Filter", "keep: {expression: element > 1}"),
        filter(Language::Generic, expression)
    );
    assert_eq!(
        with_input("Filter", "keep: yes"),
        filter(Language::Generic, Expression::Generic(s("true")))
    );
    let expression = Expression::Sql(s("a LIKE 'x%'"));
    assert_eq!(
        with_input("Filter", "{language: sql, keep: a LIKE 'x%'}"),
        filter(Language::Sql, expression)
    );
}

#[test]
fn lists_are_exploded() {
    let explode = |fields: &[&str], cross_product| {
        TransformKind::Explode(Explode {
            fields: fields.iter().map(|field| s(*field)).collect(),
            cross_product,
            error_handling: None,
        })
    };
    assert_eq!(with_input("Explode", "fields: a"), explode(&["a"], true));
    assert_eq!(with_input("Explode", "fields: [a]"), explode(&["a"], true));
    assert_eq!(
        with_input("Explode", "{fields: [a, b], cross_product: false}"),
        explode(&["a", "b"], false)
    );
}

#[test]
fn rows_are_combined() {
    let aggregation = |field: &str, value: &str, function| Aggregation {
        field: s(field),
        value: Some(Expression::Generic(s(value))),
        function: s(function),
    };
    assert_eq!(
        with_input(
            "Combine",
            "
            group_by: k
            combine:
              a: sum
              b: {fn: max}
              c: {value: x, fn: mean}
              d: {value: x, fn: {type: count}}
              e: {value: x, fn: {type: concat, config: {}}}
              f: group
              g: any
              h: all
              i: min
              j: {value: 1, fn: sum}
            "
        ),
        TransformKind::Combine(Combine {
            language: Language::Generic,
            group_by: vec![s("k")],
            combine: vec![
                aggregation("a", "a", AggregateFunction::Sum),
                aggregation("b", "b", AggregateFunction::Max),
                aggregation("c", "x", AggregateFunction::Mean),
                aggregation("d", "x", AggregateFunction::Count),
                aggregation("e", "x", AggregateFunction::Concat),
                aggregation("f", "f", AggregateFunction::Group),
                aggregation("g", "g", AggregateFunction::Any),
                aggregation("h", "h", AggregateFunction::All),
                aggregation("i", "i", AggregateFunction::Min),
                aggregation("j", "1", AggregateFunction::Sum),
            ],
        })
    );
    let TransformKind::Combine(all) = with_input("Combine", "{group_by: [], combine: {a: sum}}") else {
        panic!()
    };
    assert_eq!(all.group_by, []);
}

#[test]
fn rows_are_combined_in_sql_and_wasm() {
    let sql = |function: &str, args: &[&str]| AggregateFunction::Sql {
        function: function.to_owned(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
    };
    let TransformKind::Combine(combine) = with_input(
        "Combine",
        "
        language: sql
        group_by: [a, b]
        combine:
          n: count(*)
          p: {value: x + y, fn: {type: approx_percentile_cont, config: {p: 0.5}}}
        ",
    ) else {
        panic!()
    };
    assert_eq!(combine.group_by, [s("a"), s("b")]);
    assert_eq!(
        combine.combine,
        [
            Aggregation {
                field: s("n"),
                value: None,
                function: s(sql("count(*)", &[])),
            },
            Aggregation {
                field: s("p"),
                value: Some(Expression::Sql(s("x + y"))),
                function: s(sql("approx_percentile_cont", &["0.5"])),
            },
        ]
    );
    let TransformKind::Combine(combine) = with_input(
        "Combine",
        "{language: wasm, group_by: a, combine: {m: {value: x, fn: {path: a.wasm, name: top, config: {n: 3}}}, s: sum}}",
    ) else {
        panic!()
    };
    let function = AggregateFunction::Wasm {
        function: WasmFunction {
            path: s("a.wasm"),
            name: s("top"),
        },
        config: Value::Map(vec![("n".to_owned(), Value::Int(3))]),
    };
    assert_eq!(combine.combine[0].function, s(function));
    assert_eq!(combine.combine[1].function, s(AggregateFunction::Sum));
}

/// The join of three inputs `a`, `b` and `c`.
#[track_caller]
fn join(config: &str) -> Join {
    let config = item("Join", "input: {a: Data, b: Data, c: Data}", config);
    match kind(&format!(
        "- {{type: Create, name: Data, config: {{elements: [1]}}}}\n{config}"
    )) {
        TransformKind::Join(join) => join,
        other => panic!("{other:?}"),
    }
}

fn step(input: &str, kind: JoinKind, on: &[((&str, &str), &str)]) -> JoinStep {
    let on = on.iter().map(|((tag, field), right)| JoinCondition {
        left: ((*tag).to_owned(), s(*field)),
        right: (input.to_owned(), s(*right)),
    });
    JoinStep {
        input: input.to_owned(),
        kind,
        on: on.collect(),
    }
}

#[test]
fn joins_have_a_short_form() {
    let join = join("equalities: k");
    assert_eq!(join.join_type, JoinType::Inner);
    assert_eq!(join.fields, []);
    assert_eq!(
        join.equalities,
        [[
            ("a".to_owned(), s("k")),
            ("b".to_owned(), s("k")),
            ("c".to_owned(), s("k"))
        ]]
    );
    assert_eq!(
        join.steps,
        [
            step("b", JoinKind::Inner, &[(("a", "k"), "k")]),
            step("c", JoinKind::Inner, &[(("a", "k"), "k")]),
        ]
    );
}

#[test]
fn joins_have_kinds() {
    let equalities = "equalities: [{a: x, b: y}, {b: z, c: w}]";
    for (join_type, kinds) in [
        ("inner", [JoinKind::Inner, JoinKind::Inner]),
        ("left", [JoinKind::Left, JoinKind::Left]),
        ("right", [JoinKind::Right, JoinKind::Right]),
        ("outer", [JoinKind::Full, JoinKind::Full]),
        ("{outer: [b]}", [JoinKind::Right, JoinKind::Left]),
        ("{outer: [a, b]}", [JoinKind::Full, JoinKind::Left]),
        ("{outer: []}", [JoinKind::Inner, JoinKind::Inner]),
    ] {
        let join = join(&format!("type: {join_type}\n{equalities}"));
        assert_eq!(
            join.steps,
            [
                step("b", kinds[0], &[(("a", "x"), "y")]),
                step("c", kinds[1], &[(("b", "z"), "w")])
            ],
            "{join_type}"
        );
    }
}

#[test]
fn joins_find_their_order() {
    // `b` is connected to `c` only, so it waits for it.
    assert_eq!(
        join("equalities: [{b: x, c: y}, {c: z, a: w}]").steps,
        [
            step("c", JoinKind::Inner, &[(("a", "w"), "z")]),
            step("b", JoinKind::Inner, &[(("c", "y"), "x")]),
        ]
    );
    // Every equality that connects an input counts.
    assert_eq!(
        join("equalities: [{a: x, b: x}, {a: y, b: y}, {a: x, c: x}, {b: z, c: z}]").steps,
        [
            step("b", JoinKind::Inner, &[(("a", "x"), "x"), (("a", "y"), "y")]),
            step("c", JoinKind::Inner, &[(("a", "x"), "x"), (("b", "z"), "z")]),
        ]
    );
}

#[test]
fn joins_choose_and_rename_fields() {
    let field = |name: &str, field: &str| JoinField {
        name: s(name),
        field: s(field),
    };
    assert_eq!(
        join("{equalities: k, fields: {a: [k, v], b: {w: v}, c: '*'}}").fields,
        [
            (s("a"), JoinFields::Some(vec![field("k", "k"), field("v", "v")])),
            (s("b"), JoinFields::Some(vec![field("w", "v")])),
            (s("c"), JoinFields::All),
        ]
    );
}

#[test]
fn queries_logs_and_errors() {
    assert_eq!(
        with_input("Sql", "query: |\n  SELECT 1\n  FROM PCOLLECTION"),
        TransformKind::Sql(Sql {
            query: s("SELECT 1\nFROM PCOLLECTION\n"),
            dialect: None,
        })
    );
    let log = |level, prefix: &str| {
        TransformKind::LogForTesting(LogForTesting {
            level,
            prefix: prefix.to_owned(),
            error_handling: None,
        })
    };
    assert_eq!(with_input("LogForTesting", "{}"), log(LogLevel::Info, ""));
    assert_eq!(
        with_input("LogForTesting", "{level: ERROR, prefix: 'x: '}"),
        log(LogLevel::Error, "x: ")
    );
    assert_eq!(
        with_input("StripErrorMetadata", "{}"),
        TransformKind::StripErrorMetadata
    );
}

#[test]
fn wasm_transforms_keep_their_configuration() {
    let wasm = |config| {
        TransformKind::Wasm(WasmTransform {
            type_name: "Words".to_owned(),
            provider: 0,
            function: s("words"),
            config: s(config),
            error_handling: None,
        })
    };
    assert_eq!(with_input("Words", ""), wasm(Value::Map(Vec::new())));
    let config = Value::Map(vec![
        ("z".to_owned(), Value::Bool(true)),
        ("a".to_owned(), Value::List(vec![Value::Int(1), text("x")])),
    ]);
    assert_eq!(with_input("Words", "{z: on, a: [1, x]}"), wasm(config));
}

#[test]
fn yaml_is_read_as_pyyaml_reads_it() {
    check_rows(
        source(
            "Create",
            r#"
            elements:
              - &base {octal: 010, exponent: 1e3, sexagesimal: 1:30, flag: off, quoted: "no", tagged: !!str 5}
              - <<: *base
                flag: on
                text: |
                  two
                  lines
              - *base
            "#,
        ),
        {
            let base = |flag, lines: &str| {
                let mut row = vec![
                    Value::Int(8),
                    text("1e3"),
                    Value::Int(90),
                    Value::Bool(flag),
                    text("no"),
                    text("5"),
                ];
                row.push(if lines.is_empty() { Value::Null } else { text(lines) });
                row
            };
            rows(
                &["octal", "exponent", "sexagesimal", "flag", "quoted", "tagged", "text"],
                &[&base(false, ""), &base(true, "two\nlines\n"), &base(false, "")],
            )
        },
    );
}
