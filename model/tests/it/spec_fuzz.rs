//! Whatever the text, parsing ends without a panic, and what parses is sound.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;
use weir_model::spec::{self, Pipeline};

/// Pipelines that between them use everything there is.
const PIPELINES: [&str; 3] = [
    r#"
pipeline:
  type: chain
  source: {type: ReadFromCsv, name: In, config: {path: "a*.csv", delimiter: ";", header: no, names: [a, b]}}
  transforms:
    - type: MapToFields
      name: Map
      config:
        language: sql
        append: true
        drop: [b]
        fields: {c: "a + 1", d: {expression: upper(b), output_type: string}, e: 1.5}
        error_handling: {output: errors, threshold: 0.5}
    - type: chain
      name: Inner
      transforms:
        - {type: Filter, config: {keep: c > 1}}
        - {type: Explode, config: {fields: [a, c], cross_product: false}}
    - {type: Combine, config: {group_by: [a], combine: {n: {value: c, fn: {type: count}}, c: sum}}}
  sink: {type: WriteToParquet, config: {path: out, num_shards: 2, codec: zstd}}
  extra_transforms:
    - {type: StripErrorMetadata, input: Map.errors}
    - {type: WriteToText, input: StripErrorMetadata, config: {path: bad}}
options: {runner: x, nested: [1, {a: b}]}
"#,
    r#"
x-row: &row {a: 1, b: [x, y], "c d": null}
pipeline:
  transforms:
    - {type: Create, name: Left, config: {elements: [*row, {<<: *row, a: 2}, 3], reshuffle: no}}
    - {type: Create, name: Right, config: {elements: [{a: 1, z: 2024-01-01}]}}
    - type: composite
      name: Part
      input: {l: Left, r: [Left, Right]}
      transforms:
        - type: Join
          input: {x: l, y: r}
          config: {type: {outer: [x]}, equalities: [{x: a, y: a}], fields: {x: [a], y: {q: z}, }}
        - {type: Sql, input: {t: Join, u: l}, config: {query: "SELECT * FROM t, u"}}
      output: {joined: Join, queried: Sql}
    - {type: Flatten, input: [Part.joined, Part.queried]}
    - {type: LogForTesting, input: Flatten, config: {level: ERROR, prefix: p}}
    - {type: AssertEqual, input: LogForTesting, config: {elements: []}}
"#,
    r#"
# {{ no template }}
pipeline:
  - type: ReadFromJson
    config: {path: "{{ path }}", filename_column: f}
  {% for name in names -%}
  - type: Tokenise
    name: {{ name }}
    input: ReadFromJson
    config: {lower: yes, error_handling: {output: bad}}
  - {type: LogForTesting, name: "log {{ name }}", input: [{{ name }}.words, {{ name }}.bad]}
  {% endfor -%}
  - type: MapToFields
    input: a
    config: {language: wasm, fields: {w: word, s: {path: s.wasm, name: stem, args: [w]}}}
  - type: Combine
    input: MapToFields
    config: {language: wasm, group_by: [], combine: {m: {value: w, fn: {path: s.wasm, name: top, config: {n: 3}}}}}
providers:
  - {type: wasm, config: {path: w.wasm}, transforms: {Tokenise: tokenise, Other: other}}
"#,
];

fn params() -> BTreeMap<String, String> {
    [("path", "x.json"), ("names", r#"["a", "b"]"#)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// Parses, and checks what every result must have.
fn check(text: &str) -> Option<Pipeline> {
    match spec::parse("p.yaml", text, &params()) {
        Ok(pipeline) => {
            check_sound(&pipeline);
            Some(pipeline)
        }
        Err(errors) => {
            assert!(!errors.0.is_empty());
            // As YAML counts them.
            let lines = text.split(['\n', '\r']).count();
            for error in &errors.0 {
                assert!(!error.message.is_empty());
                let line = error.line as usize;
                assert!(error.rendered || line <= lines + 1, "line {line} of: {error}\n{text}");
            }
            None
        }
    }
}

fn check_sound(pipeline: &Pipeline) {
    let mut names = HashSet::new();
    assert!(!pipeline.transforms.is_empty());
    for id in pipeline.ids() {
        let transform = pipeline.transform(id);
        assert!(names.insert(&transform.name), "`{}` comes twice", transform.name);
        let mut tags = HashSet::new();
        for input in &transform.inputs {
            assert!(input.transform < id, "`{}` reads what comes later", transform.name);
            assert!(
                tags.insert(&input.tag),
                "`{}` has the input `{}` twice",
                transform.name,
                input.tag
            );
            assert!(pipeline.transform(input.transform).kind.has_output());
            assert!(
                pipeline
                    .consumers(input.transform)
                    .any(|(reader, read)| reader == id && read == input)
            );
        }
    }
    pipeline.module_paths();
}

#[test]
fn the_pipelines_are_right() {
    for text in PIPELINES {
        if let Err(errors) = spec::parse("p.yaml", text, &params()) {
            panic!("{errors}");
        }
    }
}

/// Text that means something in a pipeline.
fn token() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "type",
            "name",
            "input",
            "output",
            "config",
            "transforms",
            "chain",
            "composite",
            "source",
            "sink",
            "extra_transforms",
            "pipeline",
            "providers",
            "windowing",
            "error_handling",
            "Create",
            "Filter",
            "Join",
            "Flatten",
            "Sql",
            "Combine",
            "MapToFields",
            "WriteToCsv",
            "language",
            "sql",
            "wasm",
            "a",
            "Map.errors",
            "Left",
            "null",
            "yes",
            "1:30",
            "0x1f",
            "1.5e+3",
            "99999999999999999999",
            "-",
            "- ",
            ": ",
            ":",
            "[",
            "]",
            "{",
            "}",
            ",",
            "&a ",
            "*a",
            "*row",
            "<<",
            "!!str ",
            "!x ",
            "|",
            ">",
            "'",
            "\"",
            "#",
            "\n",
            "\n  ",
            "  ",
            "\t",
            "---",
            "...",
            "?",
            "{{ path }}",
            "{{",
            "}}",
            "{% for x in names %}",
            "{% endfor %}",
            "{#",
            "%",
            "~",
            "\\",
            "\u{feff}",
            "é",
            "\0",
            "\r\n",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
        "[ -~]{0,8}",
    ]
}

/// A change at a place: take out some characters, put in a token.
fn mutate(text: &str, changes: &[(prop::sample::Index, usize, String)]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for (place, length, token) in changes {
        let start = place.index(chars.len() + 1);
        let end = (start + length).min(chars.len());
        chars.splice(start..end, token.chars());
    }
    chars.into_iter().collect()
}

/// A value of a made-up pipeline, in flow style.
fn made_up() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "a",
        "b",
        "x",
        "Create",
        "Filter",
        "Flatten",
        "LogForTesting",
        "chain",
        "composite",
        "input",
        "a.errors",
        "errors",
        "1",
        "[]",
        "{}",
        "null",
    ])
    .prop_map(str::to_owned);
    let kind = prop::sample::select(vec![
        "type: Create, config: {elements: [1]}",
        "type: Filter, config: {keep: x}",
        "type: Filter, config: {keep: x, error_handling: {output: errors}}",
        "type: Flatten",
        "type: LogForTesting",
        "type: Join, config: {equalities: x}",
        "type: Sql, config: {query: x}",
        "type: WriteToText, config: {path: x}",
    ]);
    let io = prop_oneof![
        4 => Just(String::new()),
        4 => word.clone().prop_map(|word| format!(", input: {word}")),
        1 => (word.clone(), word.clone()).prop_map(|(a, b)| format!(", input: [{a}, {b}]")),
        1 => (word.clone(), word.clone()).prop_map(|(a, b)| format!(", input: {{a: {a}, x: {b}}}")),
    ];
    let out = prop_oneof![
        2 => Just(String::new()),
        1 => word.clone().prop_map(|word| format!(", output: {word}")),
        1 => (word.clone(), word.clone()).prop_map(|(a, b)| format!(", output: {{errors: {a}, x: {b}}}")),
    ];
    let name = prop::option::of(word).prop_map(|name| name.map_or(String::new(), |name| format!(", name: {name}")));
    let leaf = (kind, name.clone(), io.clone()).prop_map(|(kind, name, io)| format!("{{{kind}{name}{io}}}"));
    let transform = leaf.prop_recursive(4, 40, 5, move |inner| {
        let nested = prop::sample::select(vec!["chain", "composite"]);
        let list = prop::collection::vec(inner, 0..5).prop_map(|list| list.join(", "));
        (
            nested,
            name.clone(),
            io.clone(),
            out.clone(),
            list.clone(),
            prop::option::weighted(0.2, list),
        )
            .prop_map(|(nested, name, io, out, list, extra)| {
                let extra = extra.map_or(String::new(), |extra| format!(", extra_transforms: [{extra}]"));
                format!("{{type: {nested}{name}{io}{out}, transforms: [{list}]{extra}}}")
            })
    });
    let list = prop::collection::vec(transform, 1..8).prop_map(|list| list.join(", "));
    (prop::sample::select(vec!["chain", "composite"]), list)
        .prop_map(|(kind, list)| format!("pipeline: {{type: {kind}, transforms: [{list}]}}"))
}

/// A transform that reads earlier ones.
#[derive(Clone, Debug)]
enum Step {
    Keep(prop::sample::Index),
    /// A filter, and what takes its errors.
    KeepOrElse(prop::sample::Index),
    Union(Vec<prop::sample::Index>),
    Join(prop::sample::Index, prop::sample::Index),
    /// A chain of so many transforms, and one that reads it.
    Chain(prop::sample::Index, usize),
    /// A composite with two inputs and two outputs, and one that reads both.
    Composite(prop::sample::Index, prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        index().prop_map(Step::Keep),
        index().prop_map(Step::KeepOrElse),
        prop::collection::vec(index(), 1..4).prop_map(Step::Union),
        (index(), index()).prop_map(|(a, b)| Step::Join(a, b)),
        (index(), 1usize..4).prop_map(|(from, length)| Step::Chain(from, length)),
        (index(), index()).prop_map(|(a, b)| Step::Composite(a, b)),
    ]
}

/// The transforms of a right pipeline, one a line, and how many leaves they come to.
fn write_out(steps: &[Step]) -> (Vec<String>, usize) {
    let mut lines = vec!["{type: Create, name: s, config: {elements: [1]}}".to_owned()];
    let mut names = vec!["s".to_owned()];
    let mut leaves = 1;
    for (number, step) in steps.iter().enumerate() {
        let pick = |index: &prop::sample::Index| index.get(&names).clone();
        let (line, output) = match step {
            Step::Keep(from) => {
                leaves += 1;
                let from = pick(from);
                (
                    format!("{{type: Filter, name: n{number}, input: {from}, config: {{keep: x}}}}"),
                    format!("n{number}"),
                )
            }
            Step::KeepOrElse(from) => {
                leaves += 2;
                let from = pick(from);
                let strip = format!("{{type: StripErrorMetadata, name: e{number}, input: n{number}.bad}}");
                lines.push(strip);
                let config = "config: {keep: x, error_handling: {output: bad}}";
                (
                    format!("{{type: Filter, name: n{number}, input: {from}, {config}}}"),
                    format!("n{number}.good"),
                )
            }
            Step::Union(from) => {
                // The union of several is a transform of its own.
                leaves += if from.len() > 1 { 2 } else { 1 };
                let from: Vec<_> = from.iter().map(pick).collect();
                let line = format!("{{type: LogForTesting, name: n{number}, input: [{}]}}", from.join(", "));
                (line, format!("n{number}"))
            }
            Step::Join(a, b) => {
                leaves += 1;
                let input = format!("{{a: {}, b: {}}}", pick(a), pick(b));
                let line = format!("{{type: Join, name: n{number}, input: {input}, config: {{equalities: x}}}}");
                (line, format!("n{number}.out"))
            }
            Step::Chain(from, length) => {
                leaves += length;
                let from = pick(from);
                let inner = "{type: LogForTesting}, ".repeat(*length);
                (
                    format!("{{type: chain, name: n{number}, input: {from}, transforms: [{inner}]}}"),
                    format!("n{number}"),
                )
            }
            Step::Composite(a, b) => {
                leaves += 2;
                let input = format!("{{l: {}, r: {}}}", pick(a), pick(b));
                let inner =
                    "{type: LogForTesting, input: Join}, {type: Join, input: {l: l, r: r}, config: {equalities: x}}";
                let output = "{logged: LogForTesting, joined: Join, handed: r}";
                let name = format!("name: n{number}, input: {input}, output: {output}");
                (
                    format!("{{type: composite, {name}, transforms: [{inner}]}}"),
                    format!("n{number}.handed"),
                )
            }
        };
        lines.push(line);
        names.push(output);
    }
    (lines, leaves)
}

/// A name without the positions that make it unique.
fn strip_lines(name: &str) -> String {
    let parts = name.split('@').enumerate();
    parts
        .map(|(index, part)| {
            if index == 0 {
                part
            } else {
                part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ':')
            }
        })
        .collect()
}

/// What a pipeline is, apart from the order of its transforms: types and inputs by name.
fn meaning(pipeline: &Pipeline) -> BTreeMap<String, Vec<String>> {
    let input = |input: &spec::Input| {
        let output = input.output.as_deref().unwrap_or("");
        format!("{}={}.{output}", input.tag, pipeline.transform(input.transform).name)
    };
    let transforms = pipeline.transforms.iter().map(|transform| {
        let name = format!("{}: {}", transform.name, transform.kind.type_name());
        (name, transform.inputs.iter().map(input).collect())
    });
    transforms.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn any_tokens_are_survived(tokens in prop::collection::vec(token(), 0..60)) {
        check(&tokens.concat());
    }

    #[test]
    fn any_change_of_a_pipeline_is_survived(
        text in prop::sample::select(PIPELINES.to_vec()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0usize..12, token()), 1..6),
    ) {
        check(&mutate(text, &changes));
    }

    #[test]
    fn lines_in_any_order_are_survived(
        text in prop::sample::select(PIPELINES.to_vec()),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let lines: Vec<&str> = text.lines().collect();
        let shuffled: Vec<&str> = order.iter().map(|index| *index.get(&lines)).collect();
        check(&shuffled.join("\n"));
    }

    #[test]
    fn right_pipelines_are_read_in_any_order(
        (steps, order) in prop::collection::vec(step(), 0..12)
            .prop_flat_map(|steps| (Just(write_out(&steps)), any::<prop::sample::Index>())),
    ) {
        let (mut lines, leaves) = steps;
        let write = |lines: &[String]| format!("pipeline: [\n  {}\n]", lines.join(",\n  "));
        let pipeline = check(&write(&lines)).expect("the pipeline is right");
        prop_assert_eq!(pipeline.transforms.len(), leaves);
        let rotation = order.index(lines.len());
        lines.rotate_left(rotation);
        lines.reverse();
        let rotated = check(&write(&lines)).expect("the order does not matter");
        // Chains of unnamed transforms name them by line.
        let unnumbered = |pipeline: &Pipeline| -> Vec<_> {
            let meaning = meaning(pipeline).into_iter();
            meaning.map(|(name, inputs)| (strip_lines(&name), inputs.iter().map(|input| strip_lines(input)).collect::<Vec<_>>())).collect()
        };
        let (mut left, mut right) = (unnumbered(&pipeline), unnumbered(&rotated));
        left.sort();
        right.sort();
        prop_assert_eq!(left, right);
    }

    #[test]
    fn made_up_pipelines_are_survived(text in made_up()) {
        check(&text);
    }
}

#[test]
fn long_chains_are_read() {
    let filter = "    - {type: Filter, config: {keep: element > 0}}\n";
    let create = "    - {type: Create, config: {elements: [1]}}\n";
    let text = format!(
        "pipeline:\n  type: chain\n  transforms:\n{create}{}",
        filter.repeat(5_000)
    );
    assert_eq!(check(&text).map(|pipeline| pipeline.transforms.len()), Some(5_001));
    // Each composite hands on what the one before it hands on.
    let mut text = format!("pipeline:\n  transforms:\n{create}");
    let mut before = "Create".to_owned();
    for number in 0..5_000 {
        text.push_str(&format!(
            "    - {{type: composite, name: c{number}, input: {before}, output: input, "
        ));
        text.push_str("transforms: []}\n");
        before = format!("c{number}");
    }
    text.push_str(&format!("    - {{type: LogForTesting, input: {before}}}\n"));
    assert!(check(&text).is_none(), "references are followed to a limit");
}

#[test]
fn deep_nests_are_read() {
    // The deepest that the limit on YAML's nesting leaves room for.
    let mut transforms = "{type: Filter, config: {keep: x}}".to_owned();
    for level in 0..46 {
        let kind = if level % 2 == 0 { "chain" } else { "composite" };
        transforms = format!("{{type: {kind}, transforms: [{transforms}]}}");
    }
    let create = "{type: Create, config: {elements: [1]}}";
    let text = format!("pipeline: {{type: chain, transforms: [{create}, {transforms}, {{type: LogForTesting}}]}}");
    assert_eq!(check(&text).map(|pipeline| pipeline.transforms.len()), Some(3));
    let text = format!(
        "pipeline: [{create}, {{type: Sql, input: Create, config: {{query: {}}}}}]",
        "[".repeat(120)
    );
    assert!(check(&text).is_none());
}
