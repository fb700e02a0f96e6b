//! A component that misdescribes itself. Tests write what they want into [`ORDER`] in the built file: a description is
//! asked for before anything can be passed in.

use std::hint::black_box;
use std::ptr::read_volatile;

use exports::weir::udf::functions::{Function, Guest as Functions, Kind, Output, Volatility};
use exports::weir::udf::scalar;
use weir::udf::types::{Batch, DataType, Decimal, Error, Field};

wit_bindgen::generate!({
    path: "../../../../sdk-guest/wit",
    inline: "
        package test:describer;

        world describer {
            export weir:udf/functions@0.1.0;
            export weir:udf/scalar@0.1.0;
        }
    ",
    world: "test:describer/describer",
    generate_all,
});

struct Component;

export!(Component);

/// What the test ordered, after a mark by which it finds the place; padded with spaces.
#[used]
static ORDER: [u8; 48] = *b"the order of the test is:                       ";

const MARK: usize = 25;

fn order() -> String {
    // SAFETY: a plain read; volatile, because the compiler must not believe what the source says.
    let order = unsafe { read_volatile(&ORDER) };
    String::from_utf8_lossy(&order[MARK..]).trim().to_owned()
}

fn field(name: &str, data_type: DataType, children: u32) -> Field {
    Field {
        name: name.to_owned(),
        data_type,
        nullable: true,
        children,
    }
}

fn good(name: &str) -> Function {
    Function {
        name: name.to_owned(),
        kind: Kind::Scalar,
        params: vec![field("x", DataType::Int64, 0)],
        outputs: vec![output("main", vec![field("y", DataType::Int64, 0)])],
        state: Vec::new(),
        volatility: Volatility::Immutable,
        docs: String::new(),
    }
}

fn output(name: &str, fields: Vec<Field>) -> Output {
    Output {
        name: name.to_owned(),
        fields,
    }
}

fn forever() {
    static GO_ON: bool = true;
    // SAFETY: as above.
    while unsafe { read_volatile(&GO_ON) } {}
}

impl Functions for Component {
    fn describe() -> Vec<Function> {
        let mut function = good("same");
        let y = |data_type, children| vec![field("y", data_type, children)];
        match order().as_str() {
            "loop" => forever(),
            "trap" => std::process::abort(),
            "memory" => loop {
                std::mem::forget(black_box(vec![1u8; 1 << 20]));
            },
            "functions-none" => return Vec::new(),
            "functions-flood" => return (0..1_001).map(|i| good(&format!("f{i}"))).collect(),
            "functions-twice" => return vec![good("same"), good("same")],
            "name-empty" => function.name = String::new(),
            "name-control" => function.name = "same\u{1b}[2J\n".to_owned(),
            "name-long" => function.name = "n".repeat(129),
            "name-huge" => function.name = "n".repeat(3 << 20),
            // SAFETY: none; that is the attack.
            "name-not-utf8" => function.name = unsafe { String::from_utf8_unchecked(vec![0xff; 4]) },
            "docs-huge" => function.docs = "d".repeat(3 << 20),
            "docs-too-huge" => function.docs = "d".repeat(16 << 20),
            "docs-control" => function.docs = "\u{1b}[2J".to_owned(),
            "column-control" => function.outputs[0].fields[0].name = "y\u{1b}[2J".to_owned(),
            "column-huge" => function.outputs[0].fields[0].name = "y".repeat(1 << 20),
            "column-empty" => function.outputs[0].fields[0].name = String::new(),
            "params-twice" => function.params.push(field("x", DataType::Int64, 0)),
            "fields-flood" => {
                function.params = (0..5_000).map(|i| field(&format!("x{i}"), DataType::Int8, 0)).collect()
            }
            "fields-deep" => function.params = vec![field("x", DataType::List, 1); 4_000],
            "children-missing" => function.params = vec![field("x", DataType::Struct, u32::MAX)],
            "children-of-a-leaf" => {
                function.params = vec![field("x", DataType::Int8, 1), field("y", DataType::Int8, 0)]
            }
            "decimal-impossible" => {
                function.outputs[0].fields = y(
                    DataType::Decimal128(Decimal {
                        precision: 200,
                        scale: -100,
                    }),
                    0,
                );
            }
            "zone-control" => {
                function.outputs[0].fields = y(DataType::Timestamp(Some("\u{1b}[2J".to_owned())), 0);
            }
            "outputs-none" => function.outputs.clear(),
            "outputs-several" => function.outputs.push(output("more", y(DataType::Int64, 0))),
            "columns-none" => function.outputs[0].fields.clear(),
            "columns-several" => function.outputs[0].fields.push(field("z", DataType::Int64, 0)),
            "columns-twice" => function.outputs[0].fields.extend(y(DataType::Int64, 0)),
            "kind-not-exported" => function.kind = Kind::FlatMap,
            "aggregate-without-state" => function.kind = Kind::Aggregate,
            _ => {}
        }
        vec![function]
    }

    fn open(_function: String, _input: Vec<Field>, _config: String) -> Result<(), String> {
        Ok(())
    }
}

impl scalar::Guest for Component {
    fn call(input: Batch) -> Result<scalar::Evaluated, Error> {
        Ok(scalar::Evaluated {
            column: input,
            errors: Vec::new(),
        })
    }
}
