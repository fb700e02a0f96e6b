//! What the functions do when nobody asks for an attack: add one, write a number as text, double rows, sum up.

use std::cell::RefCell;

use crate::Component;
use crate::exports::weir::udf::functions::{Function, Guest as Functions, Kind, Output, Volatility};
use crate::exports::weir::udf::{aggregate, flat_map, scalar};
use crate::forgery::{forge, forge_emitted, forge_errors, forge_refusal};
use crate::strike::strike;
use crate::weir::udf::types::{Batch, DataType, Decimal, Error, Field, Node, RowError};

#[derive(Default)]
struct Opened {
    function: String,
    attack: String,
    sums: Vec<i64>,
    rows_seen: u64,
}

thread_local! {
    static OPENED: RefCell<Opened> = RefCell::default();
}

/// The attack, if it is to happen in `place`.
fn attack(place: &str) -> String {
    let attack = OPENED.with_borrow(|opened| opened.attack.clone());
    match attack.split_once(':') {
        Some((at, what)) if at == place => what.to_owned(),
        _ => String::new(),
    }
}

fn function() -> String {
    OPENED.with_borrow(|opened| opened.function.clone())
}

fn field(name: &str, data_type: DataType, children: u32) -> Field {
    Field {
        name: name.to_owned(),
        data_type,
        nullable: true,
        children,
    }
}

fn main_output(fields: Vec<Field>) -> Vec<Output> {
    vec![Output {
        name: "main".to_owned(),
        fields,
    }]
}

fn declare(name: &str, kind: Kind, outputs: Vec<Output>, state: Vec<Field>) -> Function {
    Function {
        name: name.to_owned(),
        kind,
        params: vec![field("x", DataType::Int64, 0)],
        outputs,
        state,
        volatility: Volatility::Immutable,
        docs: String::new(),
    }
}

impl Functions for Component {
    fn describe() -> Vec<Function> {
        let scalar = |name, fields| declare(name, Kind::Scalar, main_output(fields), Vec::new());
        let y = |data_type| vec![field("y", data_type, 0)];
        vec![
            scalar("add_one", y(DataType::Int64)),
            scalar("to_text", y(DataType::Utf8)),
            scalar("to_bool", y(DataType::Boolean)),
            scalar(
                "to_decimal",
                y(DataType::Decimal128(Decimal { precision: 3, scale: 0 })),
            ),
            scalar(
                "to_list",
                vec![field("y", DataType::List, 1), field("item", DataType::Int8, 0)],
            ),
            scalar(
                "to_struct",
                vec![field("y", DataType::Struct, 1), field("a", DataType::Int8, 0)],
            ),
            declare(
                "double",
                Kind::FlatMap,
                vec![
                    Output {
                        name: "main".to_owned(),
                        fields: y(DataType::Int64),
                    },
                    Output {
                        name: "texts".to_owned(),
                        fields: y(DataType::Utf8),
                    },
                ],
                Vec::new(),
            ),
            declare(
                "sum",
                Kind::Aggregate,
                main_output(y(DataType::Int64)),
                y(DataType::Int64),
            ),
        ]
    }

    fn open(function: String, _input: Vec<Field>, config: String) -> Result<(), String> {
        // `{"attack": "..."}`
        let attack_text = config.split('"').nth(3).unwrap_or_default().to_owned();
        OPENED.with_borrow_mut(|opened| {
            opened.function = function;
            opened.attack = attack_text;
        });
        let what = attack("open");
        strike(&what);
        match what.as_str() {
            "refuse" => Err("not today".to_owned()),
            "refuse-control" => Err("\u{1b}[2Jnot\u{0}today".to_owned()),
            "refuse-huge" => Err("x".repeat(768 << 10)),
            _ => Ok(()),
        }
    }
}

fn values(batch: &Batch) -> Vec<i64> {
    batch.buffers[1]
        .as_chunks()
        .0
        .iter()
        .map(|bytes| i64::from_le_bytes(*bytes))
        .collect()
}

fn int64(values: &[i64]) -> Batch {
    fixed(
        values.len(),
        values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    )
}

/// A column of fixed-size values without nulls.
fn fixed(length: usize, bytes: Vec<u8>) -> Batch {
    Batch {
        rows: length as u32,
        nodes: vec![node(length)],
        buffers: vec![Vec::new(), bytes],
    }
}

fn node(length: usize) -> Node {
    Node {
        length: length as u32,
        null_count: 0,
    }
}

fn offsets(lengths: impl IntoIterator<Item = usize>) -> Vec<u8> {
    let ends = lengths.into_iter().scan(0i32, |end, length| {
        *end += length as i32;
        Some(*end)
    });
    std::iter::once(0).chain(ends).flat_map(i32::to_le_bytes).collect()
}

fn text(values: &[i64]) -> Batch {
    let texts: Vec<String> = values.iter().map(i64::to_string).collect();
    Batch {
        rows: values.len() as u32,
        nodes: vec![node(values.len())],
        buffers: vec![
            Vec::new(),
            offsets(texts.iter().map(String::len)),
            texts.concat().into_bytes(),
        ],
    }
}

/// The well-behaved result of the scalar function `name`.
fn evaluate(name: &str, values: &[i64]) -> Batch {
    let n = values.len();
    let small = || values.iter().map(|x| *x as u8).collect::<Vec<u8>>();
    match name {
        "to_text" => text(values),
        "to_bool" => {
            let mut bits = vec![0u8; n.div_ceil(8)];
            values
                .iter()
                .enumerate()
                .for_each(|(i, x)| bits[i / 8] |= ((x & 1) as u8) << (i % 8));
            fixed(n, bits)
        }
        "to_decimal" => fixed(
            n,
            values
                .iter()
                .flat_map(|x| i128::from(x % 1_000).to_le_bytes())
                .collect(),
        ),
        "to_list" => Batch {
            rows: n as u32,
            nodes: vec![node(n), node(n)],
            buffers: vec![Vec::new(), offsets(values.iter().map(|_| 1)), Vec::new(), small()],
        },
        "to_struct" => Batch {
            rows: n as u32,
            nodes: vec![node(n), node(n)],
            buffers: vec![Vec::new(), Vec::new(), small()],
        },
        _ => int64(&values.iter().map(|x| x.wrapping_add(1)).collect::<Vec<_>>()),
    }
}

/// Traps in the middle of the second batch, after rows were worked on.
fn strike_in_the_middle(what: &str, rows: usize) {
    let before = OPENED.with_borrow_mut(|opened| {
        opened.rows_seen += rows as u64;
        opened.rows_seen - rows as u64
    });
    if what == "trap-in-second-batch" && before > 0 {
        panic!("row {} is unlucky", before + rows as u64 / 2);
    }
}

impl scalar::Guest for Component {
    fn call(input: Batch) -> Result<scalar::Evaluated, Error> {
        let what = attack("scalar");
        strike(&what);
        let values = values(&input);
        strike_in_the_middle(&what, values.len());
        forge_refusal(&what)?;
        let mut column = evaluate(&function(), &values);
        forge(&what, &mut column);
        Ok(scalar::Evaluated {
            column,
            errors: forge_errors(&what, values.len()),
        })
    }
}

impl flat_map::Guest for Component {
    fn call(input: Batch) -> Result<flat_map::Mapped, Error> {
        let what = attack("flat-map");
        strike(&what);
        let values = values(&input);
        strike_in_the_middle(&what, values.len());
        forge_refusal(&what)?;
        let mut doubled = int64(&values.iter().flat_map(|x| [*x, *x]).collect::<Vec<_>>());
        forge(&what, &mut doubled);
        let mut outputs = vec![
            flat_map::Emitted {
                output: 0,
                rows: doubled,
            },
            flat_map::Emitted {
                output: 1,
                rows: text(&values),
            },
        ];
        forge_emitted(&what, &mut outputs);
        Ok(flat_map::Mapped {
            outputs,
            errors: forge_errors(&what, values.len()),
        })
    }
}

fn add(input: &Batch, groups: &[u32], group_count: u32) {
    OPENED.with_borrow_mut(|opened| {
        opened.sums.resize(group_count as usize, 0);
        for (value, group) in values(input).into_iter().zip(groups) {
            opened.sums[*group as usize] = opened.sums[*group as usize].wrapping_add(value);
        }
    });
}

fn take(place: &str, groups: Option<u32>) -> Result<Batch, Error> {
    let what = attack(place);
    strike(&what);
    forge_refusal(&what)?;
    let taken: Vec<i64> = OPENED.with_borrow_mut(|opened| {
        let count = groups.map_or(opened.sums.len(), |groups| groups as usize);
        opened.sums.drain(..count).collect()
    });
    let mut batch = int64(&taken);
    forge(&what, &mut batch);
    Ok(batch)
}

impl aggregate::Guest for Component {
    fn update(input: Batch, groups: Vec<u32>, group_count: u32) -> Result<Vec<RowError>, Error> {
        let what = attack("update");
        strike(&what);
        strike_in_the_middle(&what, groups.len());
        forge_refusal(&what)?;
        add(&input, &groups, group_count);
        Ok(forge_errors(&what, groups.len()))
    }

    fn merge(states: Batch, groups: Vec<u32>, group_count: u32) -> Result<(), Error> {
        let what = attack("merge");
        strike(&what);
        forge_refusal(&what)?;
        add(&states, &groups, group_count);
        Ok(())
    }

    fn state(groups: Option<u32>) -> Result<Batch, Error> {
        take("state", groups)
    }

    fn evaluate(groups: Option<u32>) -> Result<Batch, Error> {
        take("evaluate", groups)
    }
}
