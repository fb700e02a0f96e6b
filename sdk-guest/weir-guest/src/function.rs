//! What the attributes make of a function, and how the host gets at it.

use crate::bindings::exports::weir::udf::flat_map::{Emitted, Mapped};
use crate::bindings::exports::weir::udf::functions::{self, Kind, Output};
use crate::bindings::exports::weir::udf::scalar::Evaluated;
use crate::bindings::weir::udf::types::{Batch, Error, Field, RowError};
use crate::build::{self, Build};
use crate::column::{BLOCK, Bits, Cursor, Mask};
use crate::value::{Read, Row, Write};

/// How far results depend on the arguments alone.
pub use crate::bindings::exports::weir::udf::functions::Volatility;

/// A function that can be exported; made by the attributes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a function that Weir can call",
    note = "add `#[weir_guest::scalar]`, `#[weir_guest::flat_map]` or `#[weir_guest::aggregate]` to it"
)]
pub trait Function {
    /// What it is called.
    const NAME: &'static str;

    /// What it takes and gives.
    fn describe() -> functions::Function;

    /// Starts to use it.
    fn open() -> Box<dyn Instance>;
}

/// A function in use. Only the calls of its kind do something.
pub trait Instance {
    /// Runs a scalar.
    fn scalar(&mut self, _batch: &Batch) -> Result<Evaluated, Error> {
        Err(wrong_kind())
    }

    /// Runs a flat-map.
    fn flat_map(&mut self, _batch: &Batch) -> Result<Mapped, Error> {
        Err(wrong_kind())
    }

    /// Adds rows to groups.
    fn update(&mut self, _batch: &Batch, _groups: &[u32], _group_count: u32) -> Result<Vec<RowError>, Error> {
        Err(wrong_kind())
    }

    /// Merges partial results into groups.
    fn merge(&mut self, _states: &Batch, _groups: &[u32], _group_count: u32) -> Result<(), Error> {
        Err(wrong_kind())
    }

    /// Takes partial results out.
    fn state(&mut self, _groups: Option<u32>) -> Result<Batch, Error> {
        Err(wrong_kind())
    }

    /// Takes final results out.
    fn evaluate(&mut self, _groups: Option<u32>) -> Result<Batch, Error> {
        Err(wrong_kind())
    }
}

fn wrong_kind() -> Error {
    fault("the function is of another kind".to_owned())
}

/// An error of the whole batch.
pub(crate) fn fault(message: String) -> Error {
    Error { message, row: None }
}

/// Calls `f` for the rows of a batch in which no argument is null that may not be.
#[inline]
pub fn for_each_row(rows: usize, validity: &[Option<Bits<'_>>], mut f: impl FnMut(usize)) {
    let validity: Vec<Bits<'_>> = validity.iter().flatten().copied().collect();
    if validity.is_empty() {
        (0..rows).for_each(f);
    } else {
        for row in 0..rows {
            if validity.iter().all(|bits| bits.get(row)) {
                f(row);
            }
        }
    }
}

/// What a scalar function can return: a value, or a `Result` of one.
#[diagnostic::on_unimplemented(
    message = "a scalar function cannot return `{Self}`",
    note = "it returns a type of columns, or a `Result` of one with an error that implements `Display`"
)]
pub trait Return {
    /// The value.
    type Value: Write;

    /// Adds the block of rows that starts with row `start`: `value` has those in `present`, the others are null. Adds
    /// the rows that were refused to `errors`.
    fn extend(
        builder: &mut <Self::Value as Write>::Builder,
        start: usize,
        present: Mask,
        value: impl FnMut(usize) -> Self,
        errors: &mut Vec<RowError>,
    );

    /// Adds the value of one row.
    fn push(self, row: usize, builder: &mut <Self::Value as Write>::Builder, errors: &mut Vec<RowError>);
}

impl<T: Write> Return for T {
    type Value = T;

    #[inline]
    fn extend(
        builder: &mut T::Builder,
        _start: usize,
        present: Mask,
        value: impl FnMut(usize) -> Self,
        _errors: &mut Vec<RowError>,
    ) {
        T::extend(builder, present, value);
    }

    #[inline]
    fn push(self, _row: usize, builder: &mut T::Builder, _errors: &mut Vec<RowError>) {
        Write::push(self, builder);
    }
}

impl<T: Write, E: std::fmt::Display> Return for Result<T, E> {
    type Value = T;

    #[inline]
    fn extend(
        builder: &mut T::Builder,
        start: usize,
        present: Mask,
        mut value: impl FnMut(usize) -> Self,
        errors: &mut Vec<RowError>,
    ) {
        for i in 0..BLOCK {
            if present >> i & 1 == 1 {
                value(i).push(start + i, builder, errors);
            } else {
                builder.push_null();
            }
        }
    }

    #[inline]
    fn push(self, row: usize, builder: &mut T::Builder, errors: &mut Vec<RowError>) {
        match self {
            Ok(value) => Write::push(value, builder),
            Err(error) => {
                builder.push_null();
                errors.push(row_error(row, error));
            }
        }
    }
}

#[cold]
fn row_error(row: usize, error: impl std::fmt::Display) -> RowError {
    RowError {
        row: row as u32,
        message: error.to_string(),
    }
}

/// What a function that returns no value can return: nothing, or a `Result` of nothing.
#[diagnostic::on_unimplemented(
    message = "this function cannot return `{Self}`",
    note = "it returns nothing, or a `Result<(), E>` with an error that implements `Display`"
)]
pub trait Outcome {
    /// Whether the row was refused, and why.
    fn refused(self, row: usize) -> Option<RowError>;
}

impl Outcome for () {
    #[inline]
    fn refused(self, _row: usize) -> Option<RowError> {
        None
    }
}

impl<E: std::fmt::Display> Outcome for Result<(), E> {
    #[inline]
    fn refused(self, row: usize) -> Option<RowError> {
        self.err().map(|error| row_error(row, error))
    }
}

/// Describes a scalar that returns `R`.
pub fn describe_scalar<R: Return>(
    name: &str,
    docs: &str,
    volatility: Volatility,
    params: Vec<Field>,
) -> functions::Function {
    let mut fields = Vec::new();
    R::Value::declare(name, true, &mut fields);
    functions::Function {
        name: name.to_owned(),
        kind: Kind::Scalar,
        params,
        outputs: vec![Output {
            name: "main".to_owned(),
            fields,
        }],
        state: Vec::new(),
        volatility,
        docs: docs.to_owned(),
    }
}

/// Runs a scalar over the rows of a batch: `block` gives what computes the rows of a whole block, from its first row;
/// `value` computes any row.
#[inline]
pub fn evaluate<R: Return, B: FnMut(usize) -> R>(
    rows: usize,
    validity: &[Option<Bits<'_>>],
    mut value: impl FnMut(usize) -> R,
    mut block: impl FnMut(usize) -> B,
) -> Evaluated {
    let mut builder = <R::Value as Write>::Builder::default();
    let mut errors = Vec::new();
    let validity: Vec<Bits<'_>> = validity.iter().flatten().copied().collect();
    builder.reserve(rows);
    let whole = rows - rows % BLOCK;
    for start in (0..whole).step_by(BLOCK) {
        let present = validity
            .iter()
            .fold(Mask::MAX, |present, bits| present & bits.block(start));
        R::extend(&mut builder, start, present, block(start), &mut errors);
    }
    for row in whole..rows {
        if validity.iter().all(|bits| bits.get(row)) {
            value(row).push(row, &mut builder, &mut errors);
        } else {
            builder.push_null();
        }
    }
    let mut column = build::batch(rows);
    builder.finish(&mut column);
    Evaluated { column, errors }
}

/// A scalar as an instance.
pub struct Scalar<F>(pub F);

impl<F: FnMut(&Batch) -> Result<Evaluated, String>> Instance for Scalar<F> {
    fn scalar(&mut self, batch: &Batch) -> Result<Evaluated, Error> {
        self.0(batch).map_err(fault)
    }
}

/// Takes the rows that a flat-map function emits.
///
/// ```
/// use weir_guest::{Emitter, Row};
///
/// #[derive(Row)]
/// struct Word<'a> {
///     word: &'a str,
///     length: u32,
/// }
///
/// #[weir_guest::flat_map]
/// fn tokenize(line: &str, out: &mut Emitter<Word>) {
///     for word in line.split_whitespace() {
///         // Rows may borrow: they are copied at once.
///         out.emit(Word { word: &word.to_lowercase(), length: word.len() as u32 });
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Emitter<R: Row> {
    builder: R::Builder,
}

impl<R: Row> Default for Emitter<R> {
    fn default() -> Self {
        Self {
            builder: R::Builder::default(),
        }
    }
}

impl<R: Row> Emitter<R> {
    /// Adds a row. It may have other lifetimes than `R`.
    #[inline]
    pub fn emit(&mut self, row: impl Row<Builder = R::Builder>) {
        row.push(&mut self.builder);
    }

    /// Rows that were emitted in this batch so far.
    pub fn len(&self) -> usize {
        self.builder.len()
    }

    /// Whether no row was emitted in this batch so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[doc(hidden)]
    pub fn __truncate(&mut self, rows: usize) {
        self.builder.truncate(rows);
    }

    #[doc(hidden)]
    pub fn __finish(self, output: u32, outputs: &mut Vec<Emitted>) {
        if !self.is_empty() {
            outputs.push(Emitted {
                output,
                rows: R::into_batch(self.builder),
            });
        }
    }
}

/// Declares an output of rows `R`.
pub fn output<R: Row>(name: &str) -> Output {
    let mut fields = Vec::new();
    R::declare_columns(&mut fields);
    Output {
        name: name.to_owned(),
        fields,
    }
}

/// Describes a flat-map.
pub fn describe_flat_map(
    name: &str,
    docs: &str,
    volatility: Volatility,
    params: Vec<Field>,
    outputs: Vec<Output>,
) -> functions::Function {
    functions::Function {
        name: name.to_owned(),
        kind: Kind::FlatMap,
        params,
        outputs,
        state: Vec::new(),
        volatility,
        docs: docs.to_owned(),
    }
}

/// A flat-map as an instance.
pub struct FlatMap<F>(pub F);

impl<F: FnMut(&Batch) -> Result<Mapped, String>> Instance for FlatMap<F> {
    fn flat_map(&mut self, batch: &Batch) -> Result<Mapped, Error> {
        self.0(batch).map_err(fault)
    }
}

/// What the attribute makes of an aggregate.
pub trait Aggregate {
    /// What is kept per group.
    type State: Write + for<'a> Read<'a>;
    /// The result per group.
    type Output: Write;

    /// The state of a group without rows.
    fn create() -> Self::State;
    /// Adds rows to their groups.
    fn update(batch: &Batch, groups: &[u32], states: &mut [Self::State]) -> Result<Vec<RowError>, String>;
    /// Adds another state to a state.
    fn merge(state: &mut Self::State, other: Self::State);
    /// The result of a state.
    fn extract(state: Self::State) -> Self::Output;
}

/// Describes an aggregate.
pub fn describe_aggregate<A: Aggregate>(
    name: &str,
    docs: &str,
    volatility: Volatility,
    params: Vec<Field>,
) -> functions::Function {
    let (mut state, mut fields) = (Vec::new(), Vec::new());
    <A::State as Write>::declare("state", false, &mut state);
    A::Output::declare(name, false, &mut fields);
    functions::Function {
        name: name.to_owned(),
        kind: Kind::Aggregate,
        params,
        outputs: vec![Output {
            name: "main".to_owned(),
            fields,
        }],
        state,
        volatility,
        docs: docs.to_owned(),
    }
}

/// An aggregate as an instance: the states of its groups.
pub struct Groups<A: Aggregate>(Vec<A::State>);

impl<A: Aggregate> Default for Groups<A> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<A: Aggregate> Groups<A> {
    fn grow(&mut self, group_count: u32) {
        self.0.resize_with(self.0.len().max(group_count as usize), A::create);
    }

    /// Takes the first groups out and writes what `f` makes of them.
    fn take<T: Write>(&mut self, groups: Option<u32>, f: impl Fn(A::State) -> T) -> Batch {
        let count = groups.map_or(self.0.len(), |groups| self.0.len().min(groups as usize));
        let mut builder = T::Builder::default();
        builder.reserve(count);
        self.0.drain(..count).for_each(|state| f(state).push(&mut builder));
        let mut batch = build::batch(count);
        builder.finish(&mut batch);
        batch
    }
}

impl<A: Aggregate> Instance for Groups<A> {
    fn update(&mut self, batch: &Batch, groups: &[u32], group_count: u32) -> Result<Vec<RowError>, Error> {
        self.grow(group_count);
        A::update(batch, groups, &mut self.0).map_err(fault)
    }

    fn merge(&mut self, states: &Batch, groups: &[u32], group_count: u32) -> Result<(), Error> {
        self.grow(group_count);
        let column = <A::State as Read<'_>>::column(&mut Cursor::new(states)).map_err(fault)?;
        for (row, group) in groups.iter().enumerate() {
            A::merge(&mut self.0[*group as usize], <A::State as Read<'_>>::get(&column, row));
        }
        Ok(())
    }

    fn state(&mut self, groups: Option<u32>) -> Result<Batch, Error> {
        Ok(self.take(groups, |state| state))
    }

    fn evaluate(&mut self, groups: Option<u32>) -> Result<Batch, Error> {
        Ok(self.take(groups, A::extract))
    }
}
