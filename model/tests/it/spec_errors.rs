//! Messages about what is wrong with a pipeline.

use crate::spec_support::check;

/// Checks the messages about transforms of a chain that starts with `Create`, which is at line 4.
#[track_caller]
fn check_chain(transforms: &str, expect: &str) {
    let transforms = crate::spec_support::dedent(transforms);
    let transforms: Vec<_> = transforms.lines().map(|line| format!("    {line}")).collect();
    let create = "    - {type: Create, config: {elements: [1]}}";
    check(
        &format!(
            "pipeline:\n  type: chain\n  transforms:\n{create}\n{}",
            transforms.join("\n")
        ),
        expect,
    );
}

/// Checks the messages about transforms of a composite.
#[track_caller]
fn check_plain(transforms: &str, expect: &str) {
    let transforms = crate::spec_support::dedent(transforms);
    let transforms: Vec<_> = transforms.lines().map(|line| format!("    {line}")).collect();
    check(&format!("pipeline:\n  transforms:\n{}", transforms.join("\n")), expect);
}

#[test]
fn the_text_is_no_yaml() {
    check(
        "pipeline: [",
        "p.yaml:2:1: this is not valid YAML: while parsing a node, did not find expected node content",
    );
    check("", "p.yaml:1:1: the file is empty");
    check("pipeline: {a: 1, a: 2}", "
        p.yaml:1:11: `transforms` is missing
        p.yaml:1:12: unknown key `a` in the pipeline (known keys: `type`, `windowing`, `resource_hints`, `source`, `transforms`, `sink`, `extra_transforms`)
        p.yaml:1:18: the key `a` comes twice
        ");
    check(
        "pipeline: &a [*a]",
        "p.yaml:1:15: this alias refers to the value that it is in",
    );
    check(
        "a: !!python/object x",
        "
        p.yaml:1:1: `pipeline` is missing
        p.yaml:1:1: unknown key `a` in a pipeline file (known keys: `pipeline`, `providers`, `options`, `tests`)
        p.yaml:1:4: the YAML tag `!!python/object` is not supported
        ",
    );
    check(
        "--- 1\n--- 2",
        "p.yaml:2:1: a pipeline file holds one document, and here a second one starts",
    );
    check(
        "? [a]\n: 1",
        "
        p.yaml:1:1: `pipeline` is missing
        p.yaml:1:3: a key must be a name, not a list or a mapping
        ",
    );
    check(
        "pipeline:\n  - {type: Create, config: {elements: [99999999999999999999]}}",
        "p.yaml:2:40: the integer 99999999999999999999 does not fit into 64 bits; put quotes around it if it is text",
    );
    check("- 1", "p.yaml:1:1: a pipeline file must be a mapping, not a list");
    check(
        "pipeline:\n\tx: 1",
        "p.yaml:2:2: this is not valid YAML: tabs disallowed within this context (block indentation)",
    );
    check(
        "pipeline: &x {<<: *y}",
        "p.yaml:1:19: this is not valid YAML: while parsing node, found unknown anchor",
    );
    check(
        "pipeline: {<<: 1, transforms: []}",
        "p.yaml:1:16: `<<` takes a mapping or a list of mappings",
    );
}

#[test]
fn values_over_several_lines_are_indented() {
    check(
        "pipeline:\n  - type: Sql\n    config:\n      query: \"SELECT\n  1\"",
        "p.yaml:4:14: this is not valid YAML: invalid indentation in quoted scalar (indent its lines more than the key \
         that they belong to)",
    );
}

#[test]
fn names_are_misspelt() {
    check_chain(
        "- {type: Filtr, config: {keep: a}}",
        "p.yaml:5:14: [Filtr] unknown transform type `Filtr` (did you mean `Filter`?)",
    );
    check_chain(
        "- {type: Something, config: {keep: a}}",
        "p.yaml:5:14: [Something] unknown transform type `Something` (known types: `AssertEqual`, `Combine`, `Create`, `Explode`, `Filter`, `Flatten`, `Join`, `LogForTesting`, `MapToFields`, `ReadFromCsv`, `ReadFromJson`, `ReadFromParquet`, `ReadFromText`, `Sql`, `StripErrorMetadata`, `WriteToCsv`, `WriteToJson`, `WriteToParquet`, `WriteToText`, `chain`, `composite`)",
    );
    check_chain(
        "- {type: Filter, confg: {keep: a}}",
        "
        p.yaml:5:7: [Filter] `keep` is missing
        p.yaml:5:22: [Filter] unknown key `confg` in the transform Filter (did you mean `config`?)
        ",
    );
    check_chain(
        "- {type: Filter, keep: a}",
        "
        p.yaml:5:7: [Filter] `keep` is missing
        p.yaml:5:22: [Filter] unknown key `keep` in the transform Filter (what a transform takes goes under `config`)
        ",
    );
    check_chain(
        "- {type: Filter, config: {kep: a}}",
        "p.yaml:5:31: [Filter] unknown key `kep` in the config of Filter (did you mean `keep`?)",
    );
    check_chain(
        "- {type: Filter, config: {keep: a, language: sqll}}",
        "p.yaml:5:50: [Filter] unknown language `sqll` (did you mean `sql`?)",
    );
    check_chain(
        "- {type: Combine, config: {group_by: a, combine: {b: summ}}}",
        "p.yaml:5:58: [Combine] unknown aggregation `summ` (did you mean `sum`?)",
    );
    check_plain(
        "- {type: Create, name: Data, config: {elements: [1]}}\n- {type: LogForTesting, input: Dta}",
        "p.yaml:4:36: [LogForTesting] there is no transform `Dta` (did you mean `Data`?)",
    );
    check_plain(
        "- {type: Create, name: Data, config: {elements: [1]}}\n- {type: LogForTesting, input: Nothing}",
        "p.yaml:4:36: [LogForTesting] there is no transform `Nothing` (known names here: `Create`, `Data`, `LogForTesting`)",
    );
    check(
        "pipline: []\npipeline: [{type: Create, config: {elements: []}}]",
        "p.yaml:1:1: unknown key `pipline` in a pipeline file (did you mean `pipeline`?)",
    );
    check(
        "pipeline: [{type: Create, config: {elements: []}}]\nx-anchors: 1\n.more: 2\nother: 3",
        "p.yaml:4:1: unknown key `other` in a pipeline file (known keys: `pipeline`, `providers`, `options`, `tests`)",
    );
}

#[test]
fn transforms_are_not_supported() {
    check_chain(
        "
        - {type: WindowInto, windowing: {type: fixed, size: 60s}}
        - {type: AssignTimestamps, config: {timestamp: t}}
        - {type: PyTransform, config: {constructor: x}}
        - {type: WriteToKafka, config: {topic: x}}
        ",
        "
        p.yaml:5:14: [WindowInto] `WindowInto` is not supported yet
        p.yaml:6:14: [AssignTimestamps] `AssignTimestamps` is not supported yet
        p.yaml:7:14: [PyTransform] `PyTransform` is not supported yet (write the transform as a function of a Wasm module and name it in `providers`)
        p.yaml:8:14: [WriteToKafka] `WriteToKafka` is not supported yet
        ",
    );
    check_chain(
        "- {type: Filter, windowing: {type: fixed, size: 60s}, config: {keep: a}}",
        "p.yaml:5:33: [Filter] windows other than the global one are not supported yet (leave `windowing` out)",
    );
    check(
        "pipeline: {windowing: {type: sessions, gap: 1m}, transforms: [{type: Create, config: {elements: []}}]}",
        "p.yaml:1:23: windows other than the global one are not supported yet (leave `windowing` out)",
    );
    check_chain(
        "- {type: Filter, config: {keep: a, output_schema: {type: object}}}",
        "p.yaml:5:40: [Filter] `output_schema` is not supported yet",
    );
    check_chain(
        "- {type: MapToFields, config: {language: python, fields: {a: b.upper()}}}",
        "p.yaml:5:46: [MapToFields] expressions in python are not supported (leave `language` out for fields, literals and comparisons, say `language: sql` for expressions, or `language: wasm` to call a function of a Wasm module)",
    );
    check_chain(
        "- {type: MapToFields, config: {fields: {a: {callable: 'lambda x: x'}}}}",
        "p.yaml:5:59: [MapToFields] `callable` is not supported (name a function of a Wasm module with `path` and `name`, and say `language: wasm`)",
    );
    check_chain(
        "- {type: Combine, config: {group_by: [], combine: {a: {value: b, fn: {type: beam.combiners.TopCombineFn, config: {n: 2}}}}}}",
        "p.yaml:5:81: [Combine] unknown aggregation `beam.combiners.TopCombineFn` (functions of Python are not supported; say `language: sql` for SQL's, or `language: wasm` and `fn: {path: FILE.wasm, name: FUNCTION}` for your own)",
    );
    check_chain(
        "- {type: Combine, config: {group_by: [], combine: {a: avg}}}",
        "p.yaml:5:59: [Combine] unknown aggregation `avg` (did you mean `mean`?)",
    );
}

#[test]
fn values_are_of_the_wrong_type() {
    check_chain(
        "
        - {type: Filter, config: {keep: [a]}}
        - {type: Filter, config: {keep: null}}
        - {type: Filter, config: [a]}
        - {type: MapToFields, config: {fields: [a]}}
        - {type: MapToFields, config: {fields: {a: , b: {}, c: .inf, d: '', e: {expression: {x: y}}}}}
        - {type: MapToFields, config: {fields: {a: b}, append: 1, drop: {a: b}}}
        - {type: MapToFields, config: {fields: {a: {expression: b, output_type: strng}}}}
        - {type: Explode, config: {fields: 1}}
        - {type: Explode, config: {fields: []}}
        - {type: Explode, config: {fields: [a, b]}}
        - {type: LogForTesting, config: {level: WARN}}
        - {type: Sql, config: {query: 5}}
        - {type: Sql, config: {query: ' '}}
        - {type: Create, config: {elements: abc}}
        ",
        "
        p.yaml:5:37: [Filter] `keep` must be an expression, not a list
        p.yaml:6:30: [Filter@6] `keep` is missing
        p.yaml:7:30: [Filter@7] `config` must be a mapping, not a list
        p.yaml:8:44: [MapToFields] `fields` must be a mapping, not a list
        p.yaml:9:46: [MapToFields@9] `a` has no expression
        p.yaml:9:53: [MapToFields@9] `b` has no expression (give `expression`, or `path` and `name` of a Wasm function)
        p.yaml:9:60: [MapToFields@9] `.inf` cannot be used as a literal
        p.yaml:9:69: [MapToFields@9] `d` has no expression
        p.yaml:9:89: [MapToFields@9] `expression` must be text, not a mapping
        p.yaml:10:60: [MapToFields@10] `append` must be true or false, not an integer
        p.yaml:10:69: [MapToFields@10] `drop` must be a string, not a mapping
        p.yaml:11:77: [MapToFields@11] unknown type `strng` (did you mean `string`?)
        p.yaml:12:40: [Explode] `fields` must be a string, not an integer (put quotes around it)
        p.yaml:12:40: [Explode] `fields` names no field
        p.yaml:13:40: [Explode@13] `fields` names no field
        p.yaml:14:40: [Explode@14] `cross_product` is missing (with several fields, say `true` for all combinations, or `false` to pair the elements up)
        p.yaml:15:45: [LogForTesting] unknown level `WARN`; it is `ERROR`, `INFO` or `DEBUG`
        p.yaml:16:35: [Sql] `query` must be a string, not an integer (put quotes around it)
        p.yaml:17:35: [Sql@17] `query` is empty
        p.yaml:18:7: [Create@18] `Create` takes no input
        p.yaml:18:41: [Create@18] `elements` must be a list, not a string
        ",
    );
    check_plain(
        "
        - type: 5
        - 17
        - {name: Nameless}
        - {type: ReadFromCsv, config: {path: 1}}
        - {type: ReadFromCsv, config: {path: '', delimiter: '||', comment: é, names: a, header: 3, usecols: [a, a]}}
        - {type: ReadFromCsv, config: {path: a, delimiter: \\t, sep: ;}}
        - {type: ReadFromCsv, config: {path: a, sep: ',', delimiter: ;}}
        - {type: ReadFromCsv, config: {path: a, parse_dates: [x], skip_blank_lines: no, encoding: latin1}}
        - {type: ReadFromJson, config: {path: a, lines: false, orient: columns}}
        - {type: ReadFromText}
        - {type: ReadFromParquet, config: {path: a, columns: x}}
        ",
        "
        p.yaml:3:13: `type` must be a string, not an integer (put quotes around it)
        p.yaml:4:7: a transform must be a mapping, not an integer
        p.yaml:5:7: `type` is missing
        p.yaml:6:42: [ReadFromCsv] `path` must be a string, not an integer (put quotes around it)
        p.yaml:7:42: [ReadFromCsv@7] `path` is empty
        p.yaml:7:57: [ReadFromCsv@7] `delimiter` must be one ASCII character (longer ones are not supported)
        p.yaml:7:72: [ReadFromCsv@7] `comment` must be one ASCII character (longer ones are not supported)
        p.yaml:7:82: [ReadFromCsv@7] `names` must be a list, not a string
        p.yaml:7:93: [ReadFromCsv@7] `header` must be 0 (the first row), null (none) or infer
        p.yaml:7:109: [ReadFromCsv@7] the field `a` comes twice
        p.yaml:8:56: [ReadFromCsv@8] `delimiter` must be one ASCII character (write \"\\t\", in double quotes)
        p.yaml:9:50: [ReadFromCsv@9] `sep` and `delimiter` are the same; give one of them
        p.yaml:10:45: [ReadFromCsv@10] `parse_dates` is not supported yet
        p.yaml:10:81: [ReadFromCsv@10] `skip_blank_lines: false` is not supported
        p.yaml:10:95: [ReadFromCsv@10] `encoding: latin1` is not supported; it is always `utf-8`
        p.yaml:11:53: [ReadFromJson] `lines: false` is not supported
        p.yaml:11:68: [ReadFromJson] `orient: columns` is not supported; it is always `records`
        p.yaml:12:7: [ReadFromText] `path` is missing
        p.yaml:13:58: [ReadFromParquet] `columns` must be a list, not a string
        ",
    );
    check_chain(
        "
        - {type: WriteToCsv, config: {path: a, header: 1, index: true}}
        - {type: WriteToParquet, config: {path: a, codec: zst, num_shards: -1}}
        - {type: WriteToJson, config: {path: a, indent: 2, num_shards: many}}
        - {type: WriteToText, config: {path: a, footer: x}}
        ",
        "
        p.yaml:5:52: [WriteToCsv] `header` must be true or false, not an integer
        p.yaml:5:62: [WriteToCsv] rows have no index that could be written
        p.yaml:6:7: [WriteToParquet] `WriteToCsv` has no output to read (what it writes is there only when the run has ended)
        p.yaml:6:55: [WriteToParquet] unknown codec `zst` (did you mean `zstd`?)
        p.yaml:6:72: [WriteToParquet] `num_shards` must be an integer between 0 and 10000
        p.yaml:7:7: [WriteToJson] `WriteToParquet` has no output to read (what it writes is there only when the run has ended)
        p.yaml:7:45: [WriteToJson] `indent` is not supported yet
        p.yaml:7:68: [WriteToJson] `num_shards` must be an integer between 0 and 10000
        p.yaml:8:7: [WriteToText] `WriteToJson` has no output to read (what it writes is there only when the run has ended)
        p.yaml:8:45: [WriteToText] `footer` is not supported yet
        ",
    );
}

#[test]
fn functions_are_not_named_right() {
    check_chain(
        "
        - {type: Filter, config: {keep: {path: a.wasm, name: f}}}
        - {type: Filter, config: {language: wasm, keep: {path: a.wasm}}}
        - {type: Filter, config: {language: wasm, keep: {name: f}}}
        - {type: Filter, config: {language: wasm, keep: {path: a.py, name: f}}}
        - {type: Filter, config: {language: wasm, keep: {path: a.wasm, name: f, expression: x}}}
        - {type: Filter, config: {language: wasm, keep: {path: a.wasm, name: f, arg: [x]}}}
        - {type: Filter, config: {keep: {expresion: x}}}
        ",
        "
        p.yaml:5:44: [Filter] functions of files need `language: wasm` (say it beside `fields` or `keep`)
        p.yaml:6:53: [Filter@6] `name` is missing
        p.yaml:7:53: [Filter@7] `path` is missing
        p.yaml:8:60: [Filter@8] `.py` files cannot be called, only Wasm components
        p.yaml:9:53: [Filter@9] `keep` has both an expression and a function; give one of them
        p.yaml:10:77: [Filter@10] unknown key `arg` in `keep` (did you mean `args`?)
        p.yaml:11:37: [Filter@11] `keep` has no expression (give `expression`, or `path` and `name` of a Wasm function)
        p.yaml:11:38: [Filter@11] unknown key `expresion` in `keep` (did you mean `expression`?)
        ",
    );
}

#[test]
fn aggregations_are_wrong() {
    check_chain(
        "
        - {type: Combine, config: {combine: {a: sum}}}
        - {type: Combine, config: {group_by: a}}
        - {type: Combine, config: {group_by: [a, a], combine: {a: sum}}}
        - {type: Combine, config: {group_by: a, combine: {b: {value: c}}}}
        - {type: Combine, config: {group_by: a, combine: {b: {fn: {type: sum, config: {x: 1}}}}}}
        - {type: Combine, config: {group_by: a, combine: {b: 1, c: [sum], d: median}}}
        - {type: Combine, config: {language: sql, group_by: a, combine: {b: '', c: {fn: {type: f, config: {x: [1]}}}}}}
        - {type: Combine, config: {group_by: a, combine: {b: {value: c, fn: {path: f.wasm, name: g}}}}}
        ",
        "
        p.yaml:5:31: [Combine] `group_by` is missing
        p.yaml:6:31: [Combine@6] `combine` is missing
        p.yaml:7:46: [Combine@7] the field `a` comes twice
        p.yaml:7:60: [Combine@7] the field `a` is also grouped by; give the aggregation another name
        p.yaml:8:58: [Combine@8] `fn` is missing
        p.yaml:9:83: [Combine@9] `sum` has no config
        p.yaml:10:58: [Combine@10] `fn` must be a string, not an integer (put quotes around it)
        p.yaml:10:64: [Combine@10] `fn` must be a string, not a list
        p.yaml:10:74: [Combine@10] unknown aggregation `median` (did you mean `mean`?)
        p.yaml:11:73: [Combine@11] the aggregation is empty
        p.yaml:11:103: [Combine@11] `config` needs a `value`
        p.yaml:11:107: [Combine@11] an argument of a SQL function must be an expression
        p.yaml:12:80: [Combine@12] functions of files need `language: wasm` (say it beside `fields` or `keep`)
        ",
    );
}

#[test]
fn joins_are_wrong() {
    let join = |config: &str| {
        format!(
            "- {{type: Create, config: {{elements: [1]}}}}\n- {{type: Join, input: {{a: Create, b: Create, c: Create}}, config: {config}}}"
        )
    };
    check_plain(&join("{}"), "p.yaml:4:70: [Join] `equalities` is missing");
    check_plain(
        &join("{equalities: k, type: full}"),
        "p.yaml:4:92: [Join] unknown join type `full` (did you mean `outer`?)",
    );
    check_plain(
        &join("{equalities: k, type: iner}"),
        "p.yaml:4:92: [Join] unknown join type `iner` (did you mean `inner`?)",
    );
    check_plain(
        &join("{equalities: k, type: {outer: [d, bb]}}"),
        "
        p.yaml:4:101: [Join] the join has no input `d` (the inputs are `a`, `b`, `c`)
        p.yaml:4:104: [Join] the join has no input `bb` (did you mean `b`?)
        ",
    );
    check_plain(
        &join("{equalities: k, type: {inner: [a]}}"),
        "
        p.yaml:4:92: [Join] `outer` is missing
        p.yaml:4:93: [Join] unknown key `inner` in `type` (known keys: `outer`)
        ",
    );
    check_plain(
        &join("{equalities: 1}"),
        "p.yaml:4:83: [Join] `equalities` must be the name of a field, or a list of mappings, not an integer",
    );
    check_plain(&join("{equalities: []}"), "p.yaml:4:83: [Join] `equalities` is empty");
    check_plain(
        &join("{equalities: [{a: x}]}"),
        "p.yaml:4:84: [Join] an equality needs a field of two inputs or more",
    );
    check_plain(
        &join("{equalities: [{a: x, b: y}]}"),
        "p.yaml:4:83: [Join] the equalities do not connect all of the inputs `a`, `b`, `c`",
    );
    check_plain(
        &join("{equalities: [{a: x, d: y}]}"),
        "p.yaml:4:91: [Join] the join has no input `d` (the inputs are `a`, `b`, `c`)",
    );
    check_plain(
        &join("{equalities: k, fields: {a: [x], b: [x], d: [y], c: x}}"),
        "
        p.yaml:4:107: [Join] the output has two fields `x`
        p.yaml:4:111: [Join] the join has no input `d` (the inputs are `a`, `b`, `c`)
        p.yaml:4:122: [Join] `c` must be a list of fields, a mapping of new names to fields, or '*'
        ",
    );
    check_chain(
        "- {type: Join, config: {equalities: k}}",
        "p.yaml:5:28: [Join] a join needs two inputs or more (name them: `input: {left: SOME_TRANSFORM, right: ANOTHER_TRANSFORM}`)",
    );
    check_plain(
        "- {type: Create, config: {elements: [1]}}\n- {type: Join, input: [Create, Create], config: {equalities: k}}",
        "p.yaml:4:53: [Join] a join needs two inputs or more (name them: `input: {left: SOME_TRANSFORM, right: ANOTHER_TRANSFORM}`)",
    );
}

#[test]
fn inputs_are_wrong() {
    check_plain(
        "
        - {type: Create, name: Data, config: {elements: [1]}}
        - {type: LogForTesting}
        - {type: Filter, name: First, config: {keep: a}, input: {a: Data, b: Data}}
        - {type: Create, name: More, input: Data, config: {elements: [1]}}
        - {type: Flatten, input: []}
        - {type: WriteToText, input: Data, config: {path: a}}
        - {type: LogForTesting, name: After, input: WriteToText}
        - {type: LogForTesting, name: Odd, input: Data.odd}
        - {type: LogForTesting, name: Number, input: 5}
        - {type: LogForTesting, name: Empty, input: {a: []}}
        - {type: Sql, config: {query: SELECT 1}}
        ",
        "
        p.yaml:4:7: [LogForTesting] `LogForTesting` needs an input (say `input: Data`, or make it a chain: `type: chain`)
        p.yaml:5:65: [First] `Filter` takes one input, not 2 (to read several as one, give a list: `input: [A, B]`)
        p.yaml:6:41: [More] `Create` takes no input
        p.yaml:7:7: [Flatten] `Flatten` needs an input (say `input: More`, or make it a chain: `type: chain`)
        p.yaml:9:49: [After] `WriteToText` has no output to read (what it writes is there only when the run has ended)
        p.yaml:10:47: [Odd] `Data` has no output `odd` (it has only its main output, which goes by its name alone)
        p.yaml:11:50: [Number] `input` must be a string, not an integer (put quotes around it)
        p.yaml:12:53: [Empty] this input names no transform
        p.yaml:13:7: [Sql] `Sql` needs an input (say `input: Empty`, or make it a chain: `type: chain`)
        ",
    );
    check_chain(
        "- {type: WriteToText, config: {path: a}}\n- {type: LogForTesting}",
        "p.yaml:6:7: [LogForTesting] `WriteToText` has no output to read (what it writes is there only when the run has ended)",
    );
    check_chain(
        "- {type: Filter, input: Create, config: {keep: a}}\n- {type: LogForTesting, output: x}",
        "
        p.yaml:5:29: [Filter] a transform of a chain has no `input` or `output` of its own (it reads the one before it; use `extra_transforms`, or a composite, for anything else)
        p.yaml:6:37: [LogForTesting] a transform of a chain has no `input` or `output` of its own (it reads the one before it; use `extra_transforms`, or a composite, for anything else)
        ",
    );
    check_chain(
        "- {type: Create, name: Second, config: {elements: [1]}}",
        "p.yaml:5:7: [Second] `Create` takes no input",
    );
}

#[test]
fn names_are_ambiguous() {
    check_plain(
        "
        - {type: Create, name: A, config: {elements: [1]}}
        - {type: Create, name: A, config: {elements: [1]}}
        - {type: LogForTesting, input: A}
        - {type: LogForTesting, input: Create}
        ",
        "
        p.yaml:5:36: [LogForTesting] `A` could be any of 2 transforms (give them names of their own; they are at lines 3, 4)
        p.yaml:6:36: [LogForTesting@6] `Create` could be any of 2 transforms (give them names of their own; they are at lines 3, 4)
        ",
    );
}

#[test]
fn inputs_go_round_in_circles() {
    check_plain(
        "- {type: LogForTesting, input: LogForTesting}",
        "p.yaml:3:7: [LogForTesting] the inputs go round in a circle: `LogForTesting` reads `LogForTesting`",
    );
    check_plain(
        "
        - {type: Create, config: {elements: [1]}}
        - {type: LogForTesting, name: After, input: C}
        - {type: LogForTesting, name: C, input: B}
        - {type: Filter, name: A, input: [Create, C], config: {keep: x}}
        - {type: LogForTesting, name: B, input: A}
        ",
        "p.yaml:5:7: [C] the inputs go round in a circle: `C` reads `B` reads `A` reads `A-Flatten[input]` reads `C`",
    );
    check_plain(
        "
        - {type: composite, name: A, input: B, transforms: [{type: Filter, input: input, config: {keep: x}}], output: input}
        - {type: composite, name: B, input: A, transforms: [], output: input}
        - {type: LogForTesting, input: A}
        ",
        "
        p.yaml:3:41: [A] this input leads back to itself
        p.yaml:3:115: [B] this input leads back to itself
        p.yaml:4:41: [B] this input leads back to itself
        ",
    );
}

#[test]
fn error_outputs_are_not_read() {
    check_chain(
        "- {type: Filter, name: Odd, config: {keep: a, error_handling: {output: bad}}}",
        "p.yaml:5:76: [Odd] nothing reads the error output `Odd.bad` (give another transform `input: Odd.bad`)",
    );
    check_chain(
        "
        - {type: Filter, config: {keep: a, error_handling: {}}}
        - {type: Filter, config: {keep: a, error_handling: {output: good}}}
        - {type: Filter, config: {keep: a, error_handling: {output: a.b, threshold: 2}}}
        - {type: Filter, config: {keep: a, error_handling: {outptu: a}}}
        - {type: Combine, config: {group_by: a, combine: {b: sum}, error_handling: {output: bad}}}
        ",
        "
        p.yaml:5:56: [Filter] `output` is missing
        p.yaml:6:65: [Filter@6] `good` is a name of the main output; give the error output another one
        p.yaml:7:65: [Filter@7] the name of an output must not be empty or have dots in it
        p.yaml:7:81: [Filter@7] `threshold` must be a number between 0 and 1
        p.yaml:8:57: [Filter@8] unknown key `outptu` in `error_handling` (did you mean `output`?)
        p.yaml:9:64: [Combine] unknown key `error_handling` in the config of Combine (known keys: `language`, `group_by`, `combine`)
        ",
    );
    check_plain(
        "
        - {type: Create, config: {elements: [1]}}
        - {type: Filter, input: Create, config: {keep: a, error_handling: {output: errors}}}
        - {type: LogForTesting, input: Filter.error}
        ",
        "
        p.yaml:4:80: [Filter] nothing reads the error output `Filter.errors` (give another transform `input: Filter.errors`)
        p.yaml:5:36: [LogForTesting] `Filter` has no output `error` (did you mean `errors`?)
        ",
    );
}

#[test]
fn composites_are_wrong() {
    check_plain(
        "
        - {type: Create, config: {elements: [1]}}
        - {type: composite, name: Mute, input: Create, transforms: [{type: LogForTesting, input: input}]}
        - {type: LogForTesting, name: A, input: Mute}
        - type: composite
          name: Two
          input: {x: Create}
          transforms: [{type: LogForTesting, input: x}]
          output: {a: LogForTesting, b: x, c: nothing}
        - {type: LogForTesting, name: B, input: Two}
        - {type: LogForTesting, name: C, input: Two.aa}
        - {type: composite, name: None}
        - {type: composite, name: Extra, transforms: [], extra_transforms: [], config: {a: b}}
        - {type: chain, name: Out, input: Create, transforms: [{type: LogForTesting}], output: {o: Filter}}
        - {type: LogForTesting, name: D, input: Out.o}
        ",
        "
        p.yaml:5:45: [A] `Mute` has no output to read (give it an `output`)
        p.yaml:10:43: [Two] there is no transform `nothing` (known names here: `LogForTesting`, `x`)
        p.yaml:11:45: [B] `Two` has several outputs (say which one, as `NAME.OUTPUT`; they are `a`, `b`, `c`)
        p.yaml:12:45: [C] `Two` has no output `aa` (did you mean `a`?)
        p.yaml:13:7: [None] `transforms` is missing
        p.yaml:14:72: [Extra] only a chain has `extra_transforms` (put them into `transforms`)
        p.yaml:14:76: [Extra] unknown key `config` in a chain or composite (known keys: `type`, `name`, `input`, `output`, `windowing`, `resource_hints`, `source`, `transforms`, `sink`, `extra_transforms`)
        p.yaml:15:96: [Out] `Out/LogForTesting` has no output `Filter` (it has only its main output, which goes by its name alone)
        ",
    );
    check(
        "pipeline: {type: ReadFromCsv, transforms: []}",
        "p.yaml:1:18: the type of a pipeline is `chain` or `composite` (put a single transform into `transforms`)",
    );
    check(
        "pipeline: {type: chain, transforms: []}",
        "p.yaml:1:11: the pipeline has no transforms",
    );
    check("pipeline: []", "p.yaml:1:11: the pipeline has no transforms");
    check(
        "pipeline: text",
        "p.yaml:1:11: `pipeline` must be a mapping or a list of transforms, not a string",
    );
    check(
        "pipeline: {type: chain, source: {type: Create, config: {elements: []}}}",
        "p.yaml:1:11: `transforms` is missing",
    );
}

#[test]
fn providers_are_wrong() {
    let check_providers = |providers: &str, expect: &str| {
        let pipeline = "pipeline: [{type: Create, config: {elements: []}}, {type: Word, input: Create}]";
        check(
            &format!("{pipeline}\nproviders:\n{}", crate::spec_support::dedent(providers)),
            expect,
        );
    };
    check_providers(
        "- {type: python, config: {}, transforms: {Words: words}}",
        "p.yaml:3:10: providers of type `python` are not supported (the provider type that works here is `wasm`)",
    );
    check_providers(
        "- {type: wsm, config: {path: a}, transforms: {Words: words}}",
        "p.yaml:3:10: unknown provider type `wsm` (did you mean `wasm`?)",
    );
    check_providers(
        "- {include: other.yaml}",
        "p.yaml:3:13: `include` of providers is not supported yet (list the providers in this file)",
    );
    check_providers(
        "- {type: wasm, config: {paht: a}, transforms: {Words: words}}",
        "p.yaml:3:25: unknown key `paht` in the config of a wasm provider (did you mean `path`?)",
    );
    check_providers(
        "- {type: wasm, transforms: {Words: 5}}",
        "p.yaml:3:3: `config` is missing",
    );
    check_providers(
        "- {type: wasm, config: {path: a}, transforms: {Words: words}}",
        "p.yaml:1:59: [Word] unknown transform type `Word` (did you mean `Words`?)",
    );
    check_providers(
        "- {type: wasm, config: {path: a}, transforms: {Word: a}}\n- {type: wasm, config: {path: b}, transforms: {Word: a, chain: c}}",
        "
        p.yaml:4:48: two providers define the transform `Word`
        p.yaml:4:57: `chain` cannot be the name of a provider's transform
        ",
    );
    check_providers("a: b", "
        p.yaml:1:59: [Word] unknown transform type `Word` (known types: `AssertEqual`, `Combine`, `Create`, `Explode`, `Filter`, `Flatten`, `Join`, `LogForTesting`, `MapToFields`, `ReadFromCsv`, `ReadFromJson`, `ReadFromParquet`, `ReadFromText`, `Sql`, `StripErrorMetadata`, `WriteToCsv`, `WriteToJson`, `WriteToParquet`, `WriteToText`, `chain`, `composite`)
        p.yaml:3:1: unknown key `a` in a pipeline file (known keys: `pipeline`, `providers`, `options`, `tests`)
        ");
    check(
        "pipeline: [{type: Create, config: {elements: []}}]\noptions: [a]",
        "p.yaml:2:10: `options` must be a mapping, not a list",
    );
}
