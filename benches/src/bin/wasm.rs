//! Functions of a Wasm component, called as the engine calls them, beside the same functions compiled natively, over the
//! same Arrow arrays.
//!
//! ```sh
//! cargo run --release -p weir-benches --bin wasm -- [--rows 8192] [--rounds 300] [--only NAME]
//! ```
//!
//! Native and Wasm calls take turns, so that noise meets both. Both make a new Arrow array per call. `copy` is what
//! moving the same bytes costs by itself: every function's arguments must get into the guest's memory and its results
//! out of it. Times are medians.

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, StringArray, StringBuilder};
use arrow::compute::{binary, unary};
use arrow::datatypes::{Float64Type, Int64Type};
use weir_benches::Random;
use weir_guest_build::{BuildOptions, Output};
use weir_sandbox::{FunctionKind, Module, OpenOptions, Sandbox, SandboxOptions};

#[path = "../../guests/src/kernels.rs"]
mod kernels;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The columns that a call gives.
type Call = Box<dyn FnMut(&[ArrayRef]) -> Vec<ArrayRef>>;
type Native = fn(&[ArrayRef]) -> Vec<ArrayRef>;

fn main() -> Result<()> {
    let rows = weir_benches::argument("--rows", 8_192)?;
    let rounds: usize = weir_benches::argument("--rounds", 300)?;
    let only = weir_benches::argument("--only", String::new())?;
    let module = load()?;
    let columns = Columns::new(rows);
    let chosen = |name: &str| only.is_empty() || only == name;

    println!("per row, batches of {rows} rows, medians of {rounds} rounds");
    println!(
        "{:<22} {:>10} {:>10} {:>10} {:>8} {:>14}",
        "function", "native ns", "wasm ns", "copy ns", "ratio", "without copy"
    );
    for Case {
        name,
        function,
        arguments,
        native,
    } in cases(&columns)
    {
        if chosen(name) {
            let times = measure(&module, function, &arguments, native, rounds)?;
            times.print(name, rows);
        }
    }

    println!();
    println!("per call, eight columns of 64-bit numbers, microseconds");
    println!(
        "{:<22} {:>10} {:>10} {:>10} {:>14}",
        "function", "rows", "wasm", "copy", "without copy"
    );
    for (function, native) in [("first_of_eight", first as Native), ("all_of_eight", all as Native)] {
        if chosen(function) {
            for rows in [1, rows] {
                let arguments: Vec<ArrayRef> = columns.eight.iter().map(|column| column.slice(0, rows)).collect();
                let times = measure(&module, function, &arguments, native, rounds)?;
                let micros = |time: f64| time / 1e3;
                println!(
                    "{function:<22} {rows:>10} {:>10.2} {:>10.2} {:>14.2}",
                    micros(times.wasm),
                    micros(times.copy),
                    micros(times.wasm - times.copy)
                );
            }
        }
    }
    Ok(())
}

fn load() -> Result<Module> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
    let options = BuildOptions {
        output: Output::Stderr,
        locked: true,
        ..BuildOptions::default()
    };
    let built = weir_guest_build::build(&folder, &options)?;
    let sandbox = Sandbox::new(SandboxOptions {
        max_instances: 50,
        ..SandboxOptions::default()
    })?;
    Ok(sandbox.load(&built.bytes)?)
}

/// What the functions are called with.
struct Columns {
    integers: [ArrayRef; 2],
    with_nulls: [ArrayRef; 2],
    prices: [ArrayRef; 3],
    incomes: ArrayRef,
    urls: ArrayRef,
    lines: ArrayRef,
    eight: Vec<ArrayRef>,
}

impl Columns {
    fn new(rows: usize) -> Self {
        let mut random = Random::new(1);
        let mut integers = || -> ArrayRef { Arc::new((0..rows).map(|_| random.bits() as i64).collect::<Int64Array>()) };
        let integers_4: Vec<ArrayRef> = (0..4).map(|_| integers()).collect();
        let mut floats = || -> ArrayRef { Arc::new((0..rows).map(|_| random.fraction()).collect::<Float64Array>()) };
        let floats_4: Vec<ArrayRef> = (0..4).map(|_| floats()).collect();
        let mut nulls = |column: &ArrayRef| -> ArrayRef {
            let values = column.as_primitive::<Int64Type>().values();
            let values = values
                .iter()
                .map(|value| (!random.bits().is_multiple_of(10)).then_some(*value));
            Arc::new(values.collect::<Int64Array>())
        };
        let with_nulls = [nulls(&integers_4[0]), nulls(&integers_4[1])];
        let incomes: Int64Array = (0..rows).map(|_| (random.fraction().powi(2) * 1e7) as i64).collect();
        let mut below = |end: u64| random.bits() % end;
        let urls: StringArray = (0..rows)
            .map(|row| {
                let host = ["example.org", "www.weather.example.com", "a.b.c.d.example.net:8443"][below(3) as usize];
                Some(format!(
                    "https://{host}/articles/{}/{row}?page={}",
                    below(1_000),
                    below(20)
                ))
            })
            .collect();
        let lines: StringArray = (0..rows)
            .map(|_| {
                let words: Vec<String> = (0..4 + below(16)).map(|_| word(&mut below)).collect();
                Some(words.join(" ") + ".")
            })
            .collect();
        Self {
            with_nulls,
            prices: [floats_4[0].clone(), floats_4[1].clone(), floats_4[2].clone()],
            incomes: Arc::new(incomes),
            urls: Arc::new(urls),
            lines: Arc::new(lines),
            integers: [integers_4[0].clone(), integers_4[1].clone()],
            eight: integers_4.into_iter().chain(floats_4).collect(),
        }
    }
}

fn word(below: &mut impl FnMut(u64) -> u64) -> String {
    let mut word: String = (0..1 + below(9)).map(|_| char::from(b'a' + below(26) as u8)).collect();
    if below(8) == 0 {
        word[..1].make_ascii_uppercase();
    }
    word
}

/// A function with what it is called with.
struct Case<'a> {
    name: &'a str,
    function: &'a str,
    arguments: Vec<ArrayRef>,
    native: Native,
}

fn cases(columns: &Columns) -> Vec<Case<'static>> {
    let case = |name, function, arguments: &[ArrayRef], native| Case {
        name,
        function,
        arguments: arguments.to_vec(),
        native,
    };
    let (urls, lines) = ([columns.urls.clone()], [columns.lines.clone()]);
    vec![
        case("add", "add", &columns.integers, |arguments| {
            let [a, b] = primitive::<Int64Type, 2>(arguments);
            one(binary::<_, _, _, Int64Type>(a, b, kernels::add).expect("equal lengths"))
        }),
        case("add, 10 % null", "add", &columns.with_nulls, |arguments| {
            let [a, b] = primitive::<Int64Type, 2>(arguments);
            one(binary::<_, _, _, Int64Type>(a, b, kernels::add).expect("equal lengths"))
        }),
        case("charge", "charge", &columns.prices, |arguments| {
            let [prices, discounts, taxes] =
                primitive::<Float64Type, 3>(arguments).map(|column| column.values().iter());
            let rows = prices.zip(discounts).zip(taxes);
            one(Float64Array::from_iter_values(
                rows.map(|((a, b), c)| kernels::charge(*a, *b, *c)),
            ))
        }),
        case("polynomial", "polynomial", &columns.prices[..1], |arguments| {
            let [x] = primitive::<Float64Type, 1>(arguments);
            one(unary::<_, _, Float64Type>(x, kernels::polynomial))
        }),
        case("tax", "tax", std::slice::from_ref(&columns.incomes), |arguments| {
            let [incomes] = primitive::<Int64Type, 1>(arguments);
            one(unary::<_, _, Int64Type>(incomes, kernels::tax))
        }),
        case("upper", "upper", &urls, |arguments| {
            let urls = arguments[0].as_string::<i32>();
            let mut builder = StringBuilder::with_capacity(urls.len(), urls.value_data().len());
            urls.iter()
                .for_each(|url| builder.append_option(url.map(str::to_ascii_uppercase)));
            one(builder.finish())
        }),
        case("url_host", "url_host", &urls, |arguments| {
            let urls = arguments[0].as_string::<i32>();
            let mut builder = StringBuilder::with_capacity(urls.len(), urls.len() * 16);
            urls.iter()
                .for_each(|url| builder.append_option(url.and_then(kernels::url_host)));
            one(builder.finish())
        }),
        case("words", "words", &lines, |arguments| {
            let mut builder = StringBuilder::new();
            let words = arguments[0]
                .as_string::<i32>()
                .iter()
                .flatten()
                .flat_map(kernels::words);
            words.for_each(|word| builder.append_value(word));
            one(builder.finish())
        }),
        case("lower_words", "lower_words", &lines, |arguments| {
            let mut builder = StringBuilder::new();
            let words = arguments[0]
                .as_string::<i32>()
                .iter()
                .flatten()
                .flat_map(kernels::words);
            words.for_each(|word| builder.append_value(word.to_ascii_lowercase()));
            one(builder.finish())
        }),
    ]
}

fn primitive<T: arrow::array::ArrowPrimitiveType, const N: usize>(
    arguments: &[ArrayRef],
) -> [&arrow::array::PrimitiveArray<T>; N] {
    std::array::from_fn(|i| arguments[i].as_primitive::<T>())
}

fn one(array: impl Array + 'static) -> Vec<ArrayRef> {
    vec![Arc::new(array)]
}

fn first(arguments: &[ArrayRef]) -> Vec<ArrayRef> {
    arguments[..1].to_vec()
}

fn all(arguments: &[ArrayRef]) -> Vec<ArrayRef> {
    arguments.to_vec()
}

/// Nanoseconds per call.
struct Times {
    native: f64,
    wasm: f64,
    copy: f64,
}

impl Times {
    fn print(&self, name: &str, rows: usize) {
        let per_row = |time: f64| time / rows as f64;
        println!(
            "{name:<22} {:>10.3} {:>10.3} {:>10.3} {:>7.2}x {:>13.2}x",
            per_row(self.native),
            per_row(self.wasm),
            per_row(self.copy),
            self.wasm / self.native,
            (self.wasm - self.copy) / self.native
        );
    }
}

fn measure(module: &Module, function: &str, arguments: &[ArrayRef], native: Native, rounds: usize) -> Result<Times> {
    let mut wasm = open(module, function, arguments[0].len())?;
    let expected = native(arguments);
    assert_eq!(wasm(arguments), expected, "`{function}` gives something else in Wasm");
    let (mut inside, sent) = (Vec::new(), buffers(arguments));
    let received = buffers(&expected);
    let mut copy = |_: &[ArrayRef]| {
        for buffer in &sent {
            inside.clear();
            inside.extend_from_slice(buffer);
            black_box(&inside);
        }
        received.iter().map(|buffer| buffer.to_vec()).collect::<Vec<_>>()
    };

    // A round of each takes about a millisecond.
    let once = time(|| wasm(arguments), 20);
    let calls = (Duration::from_millis(1).as_nanos() as f64 / once).clamp(1.0, 1e6) as usize;
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..rounds.max(1) {
        times[0].push(time(|| native(arguments), calls));
        times[1].push(time(|| wasm(arguments), calls));
        times[2].push(time(|| copy(arguments), calls));
    }
    let [native, wasm, copy] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    Ok(Times { native, wasm, copy })
}

fn open(module: &Module, function: &str, rows: usize) -> Result<Call> {
    let options = OpenOptions::default();
    let kind = module.function(function).map(|function| function.kind);
    Ok(if kind == Some(FunctionKind::Scalar) {
        let mut instance = module.open_scalar(function, &options)?;
        Box::new(move |arguments| vec![instance.call(arguments).expect("the function works").column])
    } else {
        let mut instance = module.open_flat_map(function, &options)?;
        Box::new(move |arguments| {
            let mut mapped = instance.call(arguments, rows).expect("the function works");
            mapped.emitted.pop().expect("one batch").rows.columns().to_vec()
        })
    })
}

/// The bytes of columns that cross the boundary.
fn buffers(columns: &[ArrayRef]) -> Vec<Vec<u8>> {
    let columns = columns.iter().map(|column| column.to_data());
    let mut buffers = Vec::new();
    for column in columns {
        buffers.extend(column.nulls().map(|nulls| nulls.buffer().to_vec()));
        buffers.extend(column.buffers().iter().map(|buffer| buffer.to_vec()));
    }
    buffers
}

/// Nanoseconds per call of `f`.
fn time<T>(mut f: impl FnMut() -> T, calls: usize) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        black_box(f());
    }
    start.elapsed().as_nanos() as f64 / calls as f64
}
