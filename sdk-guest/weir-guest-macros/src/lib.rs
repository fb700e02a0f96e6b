//! The attributes and derives of `weir-guest`, which re-exports and documents them by example.

mod aggregate;
mod function;
mod options;
mod row;

use proc_macro::TokenStream;
use syn::parse_macro_input;

/// Makes a function a scalar function: columns in, one column of as many rows out.
///
/// ```
/// #[weir_guest::scalar]
/// fn initials(first: &str, last: Option<&str>) -> Result<String, String> {
///     let letter = |name: &str| name.chars().next().ok_or("a name is empty");
///     let mut initials = letter(first)?.to_string();
///     if let Some(last) = last {
///         initials.push(letter(last)?);
///     }
///     Ok(initials)
/// }
/// ```
///
/// Arguments are columns, by the names of the arguments; the documentation comment is shown to users of the module.
/// Options: `#[scalar(name = "other_name")]`, and `stable` or `volatile` for a function whose results depend on
/// more than its arguments: `#[scalar(volatile)]`.
#[proc_macro_attribute]
pub fn scalar(options: TokenStream, item: TokenStream) -> TokenStream {
    let options = parse_macro_input!(options);
    let item = parse_macro_input!(item);
    function::scalar(options, item)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Makes a function a flat-map function: a row in, any number of rows out.
///
/// The last arguments are the outputs. The first of them is the main output, whatever it is called; others are named
/// outputs, by the names of the arguments.
///
/// ```
/// use weir_guest::{Emitter, Row};
///
/// #[derive(Row)]
/// struct Reading {
///     sensor: String,
///     value: f64,
/// }
///
/// #[derive(Row)]
/// struct Rejected<'a> {
///     line: &'a str,
/// }
///
/// #[weir_guest::flat_map]
/// fn parse(line: &str, out: &mut Emitter<Reading>, rejected: &mut Emitter<Rejected>) {
///     match line.split_once('=').map(|(sensor, value)| (sensor, value.parse())) {
///         Some((sensor, Ok(value))) => out.emit(Reading { sensor: sensor.to_owned(), value }),
///         _ => rejected.emit(Rejected { line }),
///     }
/// }
/// ```
///
/// A function that returns an error refuses the row; what it emitted for that row is taken back. Options are those of
/// [`scalar`](macro@scalar).
#[proc_macro_attribute]
pub fn flat_map(options: TokenStream, item: TokenStream) -> TokenStream {
    let options = parse_macro_input!(options);
    let item = parse_macro_input!(item);
    function::flat_map(options, item)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Makes a type an aggregate function: many rows in, one value per group out.
///
/// The type needs no value: its four functions say what a group's state is and what happens to it.
///
/// ```
/// /// The median of a group.
/// struct Median;
///
/// #[weir_guest::aggregate]
/// impl Median {
///     /// The state of a group without rows.
///     fn create() -> Vec<f64> {
///         Vec::new()
///     }
///
///     /// Adds a row. May take several columns, and may return `Result<(), E>`.
///     fn add(values: &mut Vec<f64>, value: f64) {
///         values.push(value);
///     }
///
///     /// Adds the state of rows that were seen elsewhere.
///     fn merge(values: &mut Vec<f64>, other: Vec<f64>) {
///         values.extend(other);
///     }
///
///     /// The result of a state.
///     fn extract(mut values: Vec<f64>) -> Option<f64> {
///         values.sort_by(f64::total_cmp);
///         values.get(values.len() / 2).copied()
///     }
/// }
/// ```
///
/// The state is a type that can be a column, without borrows. The function is called `median`, after the type; options
/// are those of [`scalar`](macro@scalar). The documentation is that of the `impl` block.
#[proc_macro_attribute]
pub fn aggregate(options: TokenStream, item: TokenStream) -> TokenStream {
    let options = parse_macro_input!(options);
    let item = parse_macro_input!(item);
    aggregate::expand(options, item)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Makes a struct with named fields a row of an output, a struct column, or the state of an aggregate.
///
/// Fields are columns, by their names or by `#[row(name = "other name")]`. The struct may have one lifetime, so that rows
/// can borrow.
#[proc_macro_derive(Row, attributes(row))]
pub fn row(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item);
    row::expand(item).unwrap_or_else(syn::Error::into_compile_error).into()
}
