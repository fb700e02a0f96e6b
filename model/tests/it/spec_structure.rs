//! Chains, composites and references.

use crate::spec_support::{check, parse};

#[test]
fn a_chain_reads_in_order() {
    check(
        "
        pipeline:
          type: chain
          transforms:
            - type: Create
              config: {elements: [1, 2]}
            - type: Filter
              config: {keep: element > 1}
            - type: LogForTesting
        ",
        "
        Create
        Filter <- Create
        LogForTesting <- Filter
        ",
    );
}

#[test]
fn a_chain_has_a_source_and_a_sink() {
    check(
        "
        pipeline:
          type: chain
          source: {type: ReadFromCsv, config: {path: in.csv}}
          transforms:
            - {type: Filter, config: {keep: a > 1}}
          sink: {type: WriteToJson, config: {path: out}}
        ",
        "
        ReadFromCsv
        Filter <- ReadFromCsv
        WriteToJson <- Filter
        ",
    );
}

#[test]
fn a_plain_list_is_a_pipeline() {
    check(
        "
        pipeline:
          - {type: LogForTesting, input: Data}
          - {type: Create, name: Data, config: {elements: []}}
        ",
        "
        Data: Create
        LogForTesting <- Data
        ",
    );
}

#[test]
fn a_composite_may_list_transforms_in_any_order() {
    check(
        "
        pipeline:
          transforms:
            - {type: WriteToCsv, input: Both, config: {path: out}}
            - {type: Flatten, name: Both, input: [A, B]}
            - {type: Create, name: A, config: {elements: [1]}}
            - {type: Create, name: B, config: {elements: [2]}}
        ",
        "
        A: Create
        B: Create
        Both: Flatten <- input0=A, input1=B
        WriteToCsv <- Both
        ",
    );
}

#[test]
fn a_list_of_inputs_is_their_union() {
    check(
        "
        pipeline:
          transforms:
            - {type: Create, name: A, config: {elements: [1]}}
            - {type: Create, name: B, config: {elements: [2]}}
            - {type: Filter, input: [A, B], config: {keep: element > 1}}
            - {type: LogForTesting, input: [Filter]}
            - type: Join
              input: {left: [A, B], right: A}
              config: {equalities: element}
        ",
        "
        A: Create
        B: Create
        Filter-Flatten[input]: Flatten <- input0=A, input1=B
        Filter <- Filter-Flatten[input]
        LogForTesting <- Filter
        Join-Flatten[left]: Flatten <- input0=A, input1=B
        Join <- left=Join-Flatten[left], right=A
        ",
    );
}

#[test]
fn a_flatten_takes_lists_apart_itself() {
    check(
        "
        pipeline:
          transforms:
            - {type: Create, name: A, config: {elements: [1]}}
            - type: Flatten
              input: {input: [A, A], input0: A}
        ",
        "
        A: Create
        Flatten <- input0=A, input1=A, input0_=A
        ",
    );
}

#[test]
fn composites_have_inputs_and_outputs() {
    check(
        "
        pipeline:
          transforms:
            - {type: Create, name: Left, config: {elements: [{k: 1}]}}
            - {type: Create, name: Right, config: {elements: [{k: 1}]}}
            - type: composite
              name: Outer
              input: {l: Left, r: Right}
              transforms:
                - type: Join
                  input: {a: l, b: r}
                  config: {equalities: k}
                - {type: Filter, input: Join, config: {keep: k > 0}}
              output: {joined: Join, kept: Filter}
            - {type: LogForTesting, name: One, input: Outer.joined}
            - {type: LogForTesting, name: Two, input: Outer.kept}
        ",
        "
        Left: Create
        Right: Create
        Outer/Join: Join <- a=Left, b=Right
        Outer/Filter: Filter <- Outer/Join
        One: LogForTesting <- Outer/Join
        Two: LogForTesting <- Outer/Filter
        ",
    );
}

#[test]
fn a_composite_with_one_input_calls_it_input() {
    check(
        "
        pipeline:
          transforms:
            - {type: Create, config: {elements: [1]}}
            - type: composite
              name: Part
              input: Create
              transforms:
                - {type: Filter, input: input, config: {keep: element > 0}}
              output: Filter
            - {type: LogForTesting, input: Part}
        ",
        "
        Create
        Part/Filter: Filter <- Create
        LogForTesting <- Part/Filter
        ",
    );
}

#[test]
fn a_composite_without_inputs_of_its_own_sees_those_around_it() {
    check(
        "
        pipeline:
          transforms:
            - {type: Create, config: {elements: [1]}}
            - type: composite
              name: Outer
              input: {data: Create}
              transforms:
                - type: composite
                  name: Inner
                  transforms:
                    - {type: LogForTesting, input: data}
                  output: LogForTesting
                - {type: LogForTesting, name: More, input: Inner}
        ",
        "
        Create
        Outer/Inner/LogForTesting: LogForTesting <- Create
        Outer/More: LogForTesting <- Outer/Inner/LogForTesting
        ",
    );
}

#[test]
fn a_composite_whose_transforms_say_no_inputs_is_a_chain() {
    check(
        "
        pipeline:
          transforms:
            - {type: Create, config: {elements: [1]}}
            - type: composite
              input: Create
              transforms:
                - {type: Filter, name: First, config: {keep: element > 0}}
                - {type: Filter, name: Second, config: {keep: element > 0}}
            - {type: LogForTesting, input: composite}
        ",
        "
        Create
        Composite/First: Filter <- Create
        Composite/Second: Filter <- Composite/First
        LogForTesting <- Composite/Second
        ",
    );
}

#[test]
fn chains_nest_anywhere() {
    check(
        "
        pipeline:
          type: chain
          transforms:
            - {type: Create, config: {elements: [1]}}
            - type: chain
              name: Inner
              transforms:
                - {type: Filter, config: {keep: element > 0}}
                - type: composite
                  transforms:
                    - {type: LogForTesting, name: A}
                    - {type: LogForTesting, name: B}
            - {type: WriteToText, config: {path: out}}
        ",
        "
        Create
        Inner/Filter: Filter <- Create
        Inner/Composite/A: LogForTesting <- Inner/Filter
        Inner/Composite/B: LogForTesting <- Inner/Composite/A
        WriteToText <- Inner/Composite/B
        ",
    );
}

#[test]
fn a_chain_may_join_its_inputs_first() {
    check(
        "
        pipeline:
          transforms:
            - {type: Create, name: A, config: {elements: [{k: 1}]}}
            - type: chain
              input: {x: A, y: A}
              transforms:
                - {type: Join, config: {equalities: k}}
                - {type: LogForTesting}
        ",
        "
        A: Create
        Chain/Join: Join <- x=A, y=A
        Chain/LogForTesting: LogForTesting <- Chain/Join
        ",
    );
}

#[test]
fn a_chain_may_have_extra_transforms() {
    check(
        "
        pipeline:
          type: chain
          transforms:
            - {type: Create, config: {elements: [1]}}
            - type: MapToFields
              name: Ratio
              config:
                language: sql
                fields: {ratio: 1 / element}
                error_handling: {output: errors}
            - {type: WriteToJson, config: {path: good}}
          extra_transforms:
            - {type: WriteToJson, name: Bad, input: Ratio.errors, config: {path: bad}}
        ",
        "
        Create
        Ratio: MapToFields <- Create
        WriteToJson <- Ratio
        Bad: WriteToJson <- Ratio.errors
        ",
    );
}

#[test]
fn extra_transforms_do_not_change_the_output_of_a_chain() {
    check(
        "
        pipeline:
          transforms:
            - type: chain
              name: Part
              transforms:
                - {type: Create, config: {elements: [1]}}
                - {type: Filter, config: {keep: element > 0, error_handling: {output: bad}}}
              extra_transforms:
                - {type: LogForTesting, input: Filter.bad}
            - {type: LogForTesting, input: Part}
            - {type: StripErrorMetadata, input: Part.bad}
        ",
        "
        Part/Create: Create
        Part/Filter: Filter <- Part/Create
        Part/LogForTesting: LogForTesting <- Part/Filter.bad
        LogForTesting <- Part/Filter
        StripErrorMetadata <- Part/Filter.bad
        ",
    );
}

#[test]
fn main_outputs_have_names_too() {
    check(
        "
        pipeline:
          transforms:
            - {type: Create, config: {elements: [1]}}
            - {type: Filter, input: Create.out, config: {keep: element > 0, error_handling: {output: bad}}}
            - {type: LogForTesting, name: Good, input: Filter.good}
            - {type: LogForTesting, name: Bad, input: Filter.bad}
        ",
        "
        Create
        Filter <- Create
        Good: LogForTesting <- Filter
        Bad: LogForTesting <- Filter.bad
        ",
    );
}

#[test]
fn a_composite_may_give_its_errors_away() {
    check(
        "
        pipeline:
          transforms:
            - type: composite
              name: Part
              transforms:
                - {type: Create, config: {elements: [1]}}
                - {type: Filter, input: Create, config: {keep: element > 0, error_handling: {output: bad}}}
              output: {kept: Filter, failed: Filter.bad}
            - {type: LogForTesting, input: [Part.kept, Part.failed]}
        ",
        "
        Part/Create: Create
        Part/Filter: Filter <- Part/Create
        LogForTesting-Flatten[input]: Flatten <- input0=Part/Filter, input1=Part/Filter.bad
        LogForTesting <- LogForTesting-Flatten[input]
        ",
    );
}

#[test]
fn transforms_of_one_name_get_names_of_their_own() {
    check(
        "
        pipeline:
          type: chain
          transforms:
            - {type: Create, config: {elements: [1]}}
            - {type: LogForTesting}
            - {type: LogForTesting}
            - type: chain
              transforms: [{type: LogForTesting}]
            - type: chain
              transforms: [{type: LogForTesting}, {type: LogForTesting}]
        ",
        "
        Create
        LogForTesting <- Create
        LogForTesting@6: LogForTesting <- LogForTesting
        Chain/LogForTesting: LogForTesting <- LogForTesting@6
        Chain@9/LogForTesting: LogForTesting <- Chain/LogForTesting
        Chain@9/LogForTesting@10: LogForTesting <- Chain@9/LogForTesting
        ",
    );
}

#[test]
fn a_named_mapping_does_not_go_by_its_type() {
    // Beam replaces the type of these by one with the language in it.
    check(
        "
        pipeline:
          transforms:
            - {type: Create, config: {elements: [1]}}
            - {type: Filter, name: Big, input: Create, config: {keep: element > 0}}
            - {type: Filter, input: Big, config: {keep: element > 0}}
            - {type: LogForTesting, input: Filter}
        ",
        "
        Create
        Big: Filter <- Create
        Filter <- Big
        LogForTesting <- Filter
        ",
    );
}

#[test]
fn names_may_have_dots_and_spaces() {
    check(
        "
        pipeline:
          transforms:
            - {type: Create, name: v1.0 data, config: {elements: [1]}}
            - {type: LogForTesting, input: v1.0 data}
        ",
        "
        v1.0 data: Create
        LogForTesting <- v1.0 data
        ",
    );
}

#[test]
fn wasm_transforms_have_outputs_that_only_the_module_knows() {
    check(
        "
        pipeline:
          transforms:
            - {type: Create, config: {elements: [1]}}
            - {type: Tokenise, input: Create, config: {lower: yes, error_handling: {output: bad}}}
            - {type: LogForTesting, name: Words, input: Tokenise}
            - {type: LogForTesting, name: Numbers, input: Tokenise.numbers}
            - {type: LogForTesting, name: Bad, input: Tokenise.bad}
            - {type: Generate, input: {}}
        providers:
          - type: wasm
            config: {path: words.wasm}
            transforms: {Tokenise: tokenise, Generate: generate}
        ",
        "
        Create
        Tokenise <- Create
        Words: LogForTesting <- Tokenise
        Numbers: LogForTesting <- Tokenise.numbers
        Bad: LogForTesting <- Tokenise.bad
        Generate
        ",
    );
}

#[test]
fn sql_reads_any_number_of_inputs() {
    check(
        "
        pipeline:
          transforms:
            - {type: Create, config: {elements: [1]}}
            - {type: Sql, name: One, input: Create, config: {query: SELECT * FROM PCOLLECTION}}
            - {type: Sql, name: Two, input: {a: Create, b: One}, config: {query: 'SELECT * FROM a, b'}}
            - {type: Sql, name: None, input: {}, config: {query: SELECT 1 AS x}}
        ",
        "
        Create
        One: Sql <- Create
        Two: Sql <- a=Create, b=One
        None: Sql
        ",
    );
}

#[test]
fn keys_that_change_nothing_are_accepted() {
    check(
        "
        pipeline:
          type: chain
          windowing: {type: global}
          resource_hints: {min_ram: 1GB}
          __line__: 3
          transforms:
            - type: Create
              windowing: {type: global}
              resource_hints: {min_ram: 1GB}
              __uuid__: x
              config: {elements: [1], __line__: 7}
        options:
          runner: DirectRunner
          streaming: no
        tests: []
        ",
        "
        Create
        ",
    );
}

#[test]
fn consumers_and_options_can_be_asked_for() {
    let pipeline = parse(
        "
        pipeline:
          transforms:
            - {type: Create, config: {elements: [1]}}
            - {type: LogForTesting, name: A, input: Create}
            - {type: Join, input: {x: Create, y: Create}, config: {equalities: element}}
        options: {name: x, depth: {a: [1]}}
        ",
    );
    let create = pipeline.ids().next().unwrap();
    let consumers = pipeline
        .consumers(create)
        .map(|(id, input)| (pipeline.transform(id).name.as_str(), input.tag.as_str()));
    assert_eq!(
        consumers.collect::<Vec<_>>(),
        [("A", "input"), ("Join", "x"), ("Join", "y")]
    );
    assert_eq!(
        serde_json::to_string(&pipeline.options).unwrap(),
        r#"{"name":"x","depth":{"a":[1]}}"#
    );
}

#[test]
fn failed_records_can_be_tried_again() {
    check(
        "
        pipeline:
          transforms:
            - {type: ReadFromCsv, config: {path: 'in*.csv'}}
            - type: MapToFields
              name: Once
              input: ReadFromCsv
              config: {language: sql, fields: {a: a, r: a / b}, error_handling: {output: errors}}
            - {type: StripErrorMetadata, name: Failed, input: Once.errors}
            - type: MapToFields
              name: Twice
              input: Failed
              config: {language: sql, fields: {a: a, r: a / (b + 1)}, error_handling: {output: errors}}
            - {type: WriteToJson, input: [Once, Twice], config: {path: good}}
            - {type: WriteToJson, name: Lost, input: Twice.errors, config: {path: bad}}
        ",
        "
        ReadFromCsv
        Once: MapToFields <- ReadFromCsv
        Failed: StripErrorMetadata <- Once.errors
        Twice: MapToFields <- Failed
        WriteToJson-Flatten[input]: Flatten <- input0=Once, input1=Twice
        WriteToJson <- WriteToJson-Flatten[input]
        Lost: WriteToJson <- Twice.errors
        ",
    );
}
