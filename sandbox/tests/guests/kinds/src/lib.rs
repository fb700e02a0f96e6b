//! Well-behaved functions of every kind and type.

use std::borrow::Cow;

use weir_guest::{Date, Decimal, Emitter, Row, Timestamp, UtcTimestamp, config, counter, distribution, gauge, info};

/// Adds two numbers.
///
/// Wraps around.
#[weir_guest::scalar]
fn add(a: i64, b: i64) -> i64 {
    a.wrapping_add(b)
}

#[weir_guest::scalar(name = "and_then", stable)]
fn both(a: bool, b: bool) -> bool {
    a && b
}

#[weir_guest::scalar]
fn shout(text: &str) -> String {
    text.to_uppercase()
}

#[weir_guest::scalar]
fn trimmed(text: &str) -> &str {
    text.trim()
}

#[weir_guest::scalar]
fn or_else<'a>(text: Option<&'a str>, other: &'a str) -> Cow<'a, str> {
    text.map_or_else(|| Cow::Owned(other.repeat(2)), Cow::Borrowed)
}

#[weir_guest::scalar]
fn parse(text: &str) -> Result<Option<i64>, std::num::ParseIntError> {
    if text.is_empty() {
        Ok(None)
    } else {
        text.parse().map(Some)
    }
}

#[weir_guest::scalar(volatile)]
fn answer() -> i32 {
    42
}

/// A crash in the middle of a batch.
#[weir_guest::scalar]
fn divide(a: i64, b: i64) -> i64 {
    a / b
}

/// Never ends, unless `n` is zero.
#[weir_guest::scalar]
fn spin(n: i64) -> i64 {
    let mut state = n;
    while state != 0 {
        state = state.wrapping_mul(6_364_136_223_846_793_005) | 1;
    }
    state
}

/// Takes as long as `rounds` rounds take.
#[weir_guest::scalar]
fn toil(rounds: i64) -> i64 {
    let mut state = rounds;
    for _ in 0..rounds {
        state = state.wrapping_mul(6_364_136_223_846_793_005) | 1;
    }
    state
}

#[weir_guest::scalar]
fn configured(key: &str) -> Option<&'static str> {
    config().str(key)
}

#[derive(Row)]
struct Everything<'a> {
    boolean: Option<bool>,
    int8: Option<i8>,
    int16: Option<i16>,
    int32: Option<i32>,
    int64: Option<i64>,
    uint8: Option<u8>,
    uint16: Option<u16>,
    uint32: Option<u32>,
    uint64: Option<u64>,
    float32: Option<f32>,
    float64: Option<f64>,
    utf8: Option<&'a str>,
    binary: Option<&'a [u8]>,
    date: Option<Date>,
    timestamp: Option<Timestamp>,
    instant: Option<UtcTimestamp>,
    decimal: Option<Decimal<38, 10>>,
    list: Option<Vec<Option<i32>>>,
    #[row(name = "nested lists")]
    lists: Option<Vec<Vec<String>>>,
    point: Option<Point>,
    points: Vec<Point>,
    /// After more columns than fit a tuple, twice.
    rest_1: i64,
    rest_2: i64,
    rest_3: i64,
    rest_4: i64,
}

#[derive(Row)]
struct Point {
    x: i32,
    y: Option<i32>,
}

/// A struct of all types, and back.
#[weir_guest::scalar]
fn same(everything: Option<Everything>) -> Option<Everything> {
    everything
}

/// All columns, and back.
#[weir_guest::flat_map]
fn columns(everything: Everything, out: &mut Emitter<Everything>) {
    out.emit(everything);
}

#[derive(Row)]
struct Word<'a> {
    word: &'a str,
    line: i64,
}

#[derive(Row)]
struct Empty {
    line: i64,
}

#[weir_guest::flat_map]
fn words(line: i64, text: &str, out: &mut Emitter<Word>, empty: &mut Emitter<Empty>) -> Result<(), String> {
    let before = out.len();
    for word in text.split_whitespace() {
        out.emit(Word {
            word: &word.to_lowercase(),
            line,
        });
        if word == "STOP" {
            return Err(format!("line {line} says stop"));
        }
    }
    let count = out.len() - before;
    counter!("words", count as i64);
    distribution!("words_per_line", count as i64);
    gauge!("line", line);
    if count == 0 {
        info!("line {line} is empty");
        empty.emit(Empty { line });
    }
    Ok(())
}

/// The median.
struct Median;

#[weir_guest::aggregate]
impl Median {
    fn create() -> Vec<f64> {
        Vec::new()
    }

    fn add(values: &mut Vec<f64>, value: f64) -> Result<(), &'static str> {
        if value.is_nan() {
            return Err("not a number");
        }
        values.push(value);
        Ok(())
    }

    fn merge(values: &mut Vec<f64>, other: Vec<f64>) {
        values.extend(other);
    }

    fn extract(mut values: Vec<f64>) -> Option<f64> {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }
}

#[derive(Row)]
struct Weighted {
    sum: f64,
    weight: f64,
}

struct WeightedMean;

#[weir_guest::aggregate]
impl WeightedMean {
    fn create() -> Weighted {
        Weighted { sum: 0.0, weight: 0.0 }
    }

    fn add(state: &mut Weighted, value: f64, weight: Option<f64>) {
        let weight = weight.unwrap_or(1.0);
        state.sum += value * weight;
        state.weight += weight;
    }

    fn merge(state: &mut Weighted, other: Weighted) {
        state.sum += other.sum;
        state.weight += other.weight;
    }

    fn extract(state: &Weighted) -> Option<f64> {
        (state.weight != 0.0).then(|| state.sum / state.weight)
    }
}

weir_guest::export!(
    add,
    both,
    shout,
    trimmed,
    or_else,
    parse,
    answer,
    divide,
    spin,
    toil,
    configured,
    same,
    columns,
    words,
    Median,
    WeightedMean,
);
