//! Parameters, and what they do to positions.

use crate::spec_support::{check_with, parse_with};
use weir_model::spec::{self, TransformKind};

#[test]
fn parameters_are_put_in() {
    check_with(
        "
        # Run with {{ not }} a parameter: leading comments are no template.

        pipeline:
          type: chain
          transforms:
            - type: {{ source | default('Create') }}
              name: {{ prefix ~ '-' ~ table.upper() }}
              config: {elements: [{{ rows }}]}
            {% for name in names.split(',') -%}
            - {type: Filter, name: {{ name }}, config: {keep: element > {{ loop.index }}}}
            {% endfor -%}
            {% if debug is defined -%}
            - {type: LogForTesting}
            {%- endif %}
            {# a comment #}
            {% set path = '/' + table -%}
            - {type: WriteToText, config: {path: {{ path }}}}
        ",
        &[
            ("prefix", "in"),
            ("table", "users"),
            ("rows", "1, 2"),
            ("names", "a,b"),
            ("debug", "no"),
        ],
        "
        in-USERS: Create
        a: Filter <- in-USERS
        b: Filter <- a
        LogForTesting <- b
        WriteToText <- LogForTesting
        ",
    );
}

#[test]
fn lists_and_objects_can_be_parameters() {
    let pipeline = parse_with(
        r#"
        pipeline:
          - type: Create
            config:
              elements:
                {%- for table in tables %}
                - {name: {{ table }}, first: {{ loop.first }}}
                {%- endfor %}
                - {name: {{ tables[1] }}, text: '{{ tables }}', n: {{ tables | length }}}
                {%- for key, value in ages.items() %}
                - {{ '{' }}name: {{ key }}, n: {{ value }}{{ '}' }}
                {%- endfor %}
                - {name: {{ ages.get('eve', 'none') }}, n: {{ ages.bob + 1 }}}
                - {name: '{{ odd }}'}
        "#,
        &[
            ("tables", r#"["a",  "b"]"#),
            ("ages", r#"{"bob": 7}"#),
            ("odd", "[not json"),
        ],
    );
    let pipeline = pipeline.unwrap_or_else(|errors| panic!("{errors}"));
    let TransformKind::Create(create) = &pipeline.transforms[0].kind else {
        panic!()
    };
    assert_eq!(create.elements.fields, ["name", "first", "text", "n"]);
    let rows: Vec<_> = create
        .elements
        .rows
        .iter()
        .map(|row| serde_json::to_string(&row.value).unwrap())
        .collect();
    assert_eq!(
        rows,
        [
            r#"["a",true,null,null]"#,
            r#"["b",false,null,null]"#,
            r#"["b",null,"[\"a\",  \"b\"]",2]"#,
            r#"["bob",null,null,7]"#,
            r#"["none",null,null,8]"#,
            r#"["[not json",null,null,null]"#,
        ]
    );
}

#[test]
fn a_parameter_without_a_value_is_named() {
    check_with(
        "
        pipeline:
          - type: ReadFromText
            config: {path: '{{ inptu }}/{{ input }}'}
        ",
        &[("input", "x")],
        "p.yaml:3:24: the parameter `inptu` has no value (did you mean `input`?)",
    );
    check_with(
        "
        pipeline:
          - type: ReadFromText
            {% if fast %}
            name: Fast
            {% endif %}
        ",
        &[("input", "x")],
        "p.yaml:3:11: the parameter `fast` has no value (give it one with `--param fast=VALUE`)",
    );
    check_with(
        "pipeline: {{ table.name }}",
        &[("table", "{}")],
        "p.yaml:1:14: the template uses a value that is not defined: `table.name`",
    );
}

#[test]
fn templates_are_wrong() {
    check_with(
        "a: 1\npipeline: {{ 1 + }}",
        &[],
        "p.yaml:2:18: the template cannot be read: unexpected end of variable block",
    );
    check_with(
        "pipeline:\n{% for x in y %}\n",
        &[("y", "[]")],
        "p.yaml:2:15: the template cannot be read: unexpected end of input, expected end of block",
    );
    check_with(
        "pipeline: {% include 'other.yaml' %}",
        &[],
        "p.yaml:1:14: templates that include, import or extend other files are not supported (put the text into this file)",
    );
    check_with(
        "{% import 'other.yaml' as o %}",
        &[],
        "p.yaml:1:4: templates that include, import or extend other files are not supported (put the text into this file)",
    );
    check_with(
        "pipeline: {{ 'a' | nofilter }}",
        &[],
        "p.yaml:1:20: the template cannot be read: filter nofilter is unknown",
    );
    check_with(
        "pipeline: {{ 'a'.nomethod() }}",
        &[],
        "p.yaml:1:17: the template cannot be read: string has no method named nomethod",
    );
    check_with(
        "pipeline: {{ nofunction() }}",
        &[],
        "p.yaml:1:14: the template cannot be read: nofunction is unknown",
    );
    check_with(
        "pipeline: {{ datetime.now() }}",
        &[],
        "p.yaml:1:22: the template cannot be read: undefined has no method named now (`datetime` is undefined)",
    );
    check_with(
        "pipeline: {{ 1 / 0 }}",
        &[],
        "p.yaml:1:14: the template cannot be read: unable to calculate 1 / 0",
    );
}

#[test]
fn templates_are_bounded() {
    check_with(
        "{% for x in range(100000) %}{% for y in range(100000) %}{% endfor %}{% endfor %}",
        &[],
        "p.yaml:1:41: the template takes too many steps (a pipeline's template should only put parameters in)",
    );
    check_with(
        "{% for x in range(100000) %}{{ a }}{% endfor %}",
        &[("a", &"x".repeat(1000))],
        "p.yaml: the pipeline is too large after parameters are put in",
    );
    check_with(
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        &[],
        "p.yaml:1:19: the template cannot be read: recursion limit exceeded",
    );
}

#[test]
fn positions_are_those_of_the_file() {
    // As many lines as before: nothing moves.
    check_with(
        "
        pipeline:
          {# a comment #}
          - {type: Create, name: '{{ name }}', confg: {elements: []}}
        ",
        &[("name", "a long name")],
        "
        p.yaml:3:5: [a long name] `elements` is missing
        p.yaml:3:41: [a long name] unknown key `confg` in the transform Create (did you mean `config`?)
        ",
    );
    // Blocks that add lines: known before and after them.
    check_with(
        "
        pipeline:
          - {type: Creat, config: {elements: []}}
          {% for name in names %}
          - {type: Creat, name: {{ name }}, config: {elements: []}}
          {% endfor %}
          - {type: Creat, name: '{{ last }}', config: {elements: []}}
          - {type: Creat, name: z, config: {elements: []}}
        ",
        &[("names", r#"["x", "y"]"#), ("last", "w")],
        "
        p.yaml:2:12: [Creat] unknown transform type `Creat` (did you mean `Create`?)
        p.yaml: line 4, column 12 after parameters are put in: [x] unknown transform type `Creat` (did you mean `Create`?)
        p.yaml: line 6, column 12 after parameters are put in: [y] unknown transform type `Creat` (did you mean `Create`?)
        p.yaml:6:12: [w] unknown transform type `Creat` (did you mean `Create`?)
        p.yaml:7:12: [z] unknown transform type `Creat` (did you mean `Create`?)
        ",
    );
}

#[test]
fn the_engine_can_point_at_parts() {
    let pipeline = parse_with(
        "
        pipeline:
          - type: ReadFromText
            name: Lines
            config:
              path: {{ path }}
        ",
        &[("path", "a.txt")],
    );
    let pipeline = pipeline.unwrap_or_else(|errors| panic!("{errors}"));
    let TransformKind::ReadFromText(read) = &pipeline.transforms[0].kind else {
        panic!()
    };
    let diagnostic = pipeline
        .diagnostic(read.path.span, Some("Lines"), "no such file `a.txt`")
        .with_help("look again");
    assert_eq!(
        diagnostic.to_string(),
        "p.yaml:5:13: [Lines] no such file `a.txt` (look again)"
    );
    let (line, column) = (diagnostic.line, diagnostic.column);
    assert_eq!((line, column, diagnostic.rendered), (5, 13, false));
}

#[test]
fn block_scalars_start_at_their_first_line() {
    let pipeline = parse_with(
        "
        pipeline:
          - type: Sql
            input: {}
            config:
              query: |
                SELECT 1
        ",
        &[],
    );
    let pipeline = pipeline.unwrap_or_else(|errors| panic!("{errors}"));
    let TransformKind::Sql(sql) = &pipeline.transforms[0].kind else {
        panic!()
    };
    assert_eq!((sql.query.span.line, sql.query.span.column), (6, 9));
}

#[test]
fn files_are_bounded() {
    let text = format!("pipeline: []\n#{}", "x".repeat(spec::MAX_FILE_BYTES));
    check_with(
        &text,
        &[],
        "p.yaml: the pipeline is larger than 1048576 bytes (keep data in files and read them)",
    );
}

#[test]
fn aliases_are_bounded() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..20 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        laughs.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    check_with(
        &laughs,
        &[],
        "p.yaml:6:40: the pipeline is too large once its aliases are expanded",
    );
    let mut tower = String::from("a0: &a0 []\n");
    for level in 1..200 {
        tower.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    check_with(&tower, &[], "p.yaml:100:12: more than 100 levels of nesting");
    let text = "x".repeat(100_000);
    let many = vec!["*t"; 50_000].join(", ");
    check_with(
        &format!("a: &t {text}\nb: [{many}]"),
        &[],
        "p.yaml:2:1277: the pipeline is too large once its aliases are expanded",
    );
}

#[test]
fn nesting_is_bounded() {
    check_with(
        &format!("pipeline: {}", "[".repeat(1000)),
        &[],
        "p.yaml:1:266: this is not valid YAML: recursion limit exceeded",
    );
    check_with(
        &format!("pipeline:\n{}", "- ".repeat(1000)),
        &[],
        "p.yaml:2:199: more than 100 levels of nesting",
    );
    check_with(
        &format!("pipeline: {}x{}", "{a: ".repeat(1000), "}".repeat(1000)),
        &[],
        "p.yaml:1:407: more than 100 levels of nesting",
    );
}

#[test]
fn sizes_are_bounded() {
    let create = "{type: Create, config: {elements: [1]}}";
    let join = |config: &str, inputs: usize| {
        let inputs: Vec<_> = (0..inputs).map(|input| format!("i{input}: Create")).collect();
        format!(
            "pipeline: [{create}, {{type: Join, input: {{{}}}, config: {config}}}]",
            inputs.join(", ")
        )
    };
    check_with(
        &join("{equalities: k}", 65),
        &[],
        "
        p.yaml:1:918: [Join] a join takes no more than 64 inputs
        ",
    );
    check_with(
        &join(&format!("{{equalities: [{}]}}", "{i0: a, i1: b},".repeat(1_001)), 2),
        &[],
        "p.yaml:1:120: [Join] a join takes no more than 1000 equalities",
    );
    check_with(
        &format!("pipeline: [{}]", format!("{create},").repeat(10_001)),
        &[],
        "p.yaml:1:400012: a pipeline takes no more than 10000 transforms",
    );
    check_with(
        &format!(
            "pipeline: [{create}, {{type: Flatten, input: [{}]}}]",
            "Create,".repeat(1_001)
        ),
        &[],
        "
        p.yaml:1:76: [Flatten] a transform takes no more than 1000 inputs
        ",
    );
    check_with(
        &format!("pipeline: [{{type: Flatten, name: {}}}]", "n".repeat(201)),
        &[],
        "p.yaml:1:34: a name takes no more than 200 bytes",
    );
    let rows: String = (0..2_000).map(|row| format!("{{k{row}: 1}},")).collect();
    check_with(
        &format!("pipeline: [{{type: Create, config: {{elements: [{rows}]}}}}]"),
        &[],
        "p.yaml:1:46: [Create] `elements` has too many rows with different fields",
    );
    check_with(
        &format!("pipeline: {{{{ x }}}}\n#{}", "x".repeat(65_001)),
        &[("x", "[]")],
        "p.yaml: a pipeline with parameters takes no more than 131072 bytes, and 65000 in a line (keep data in files and read them)",
    );
    check_with(
        &format!("pipeline: {{{{ x }}}}\n{}", "#\n".repeat(1 << 16)),
        &[("x", "[]")],
        "p.yaml: a pipeline with parameters takes no more than 131072 bytes, and 65000 in a line (keep data in files and read them)",
    );
}

#[test]
fn the_clock_of_beams_templates_is_not_there() {
    check_with(
        "pipeline: [{type: ReadFromText, config: {path: '{{ datetime.datetime.now() }}'}}]",
        &[],
        "p.yaml:1:52: the parameter `datetime` has no value (Beam's `datetime` is not available: give the time as a parameter of your own)",
    );
}
