//! What transforms can do, and their configurations.
//!
//! Names are Beam's. Defaults are filled in, shorthands are expanded, and everything that planning may complain about
//! is [`Spanned`].

use super::{Span, Spanned, Value};
use crate::LogLevel;

/// What a transform does.
#[derive(Clone, Debug, PartialEq)]
pub enum TransformKind {
    /// Rows from the pipeline file. No input.
    Create(Create),
    /// Lines of text files, as rows with one string field `line`. No input.
    ReadFromText(ReadFromText),
    /// CSV files. No input.
    ReadFromCsv(ReadFromCsv),
    /// Files of JSON objects, one a line. No input.
    ReadFromJson(ReadFromJson),
    /// Parquet files. No input.
    ReadFromParquet(ReadFromParquet),
    /// Text files from rows with exactly one field. One input, no output.
    WriteToText(WriteToText),
    /// CSV files. One input, no output.
    WriteToCsv(WriteToCsv),
    /// Files of JSON objects, one a line. One input, no output.
    WriteToJson(WriteToJson),
    /// Parquet files. One input, no output.
    WriteToParquet(WriteToParquet),
    /// New fields from old ones. One input.
    MapToFields(MapToFields),
    /// The rows for which an expression is true. One input.
    Filter(Filter),
    /// One row per element of a list. One input.
    Explode(Explode),
    /// All rows of all inputs; fields that an input does not have are null. Any number of inputs.
    Flatten,
    /// Grouping and aggregation. One input.
    Combine(Combine),
    /// Rows of several inputs side by side. Two or more inputs, each with a tag of its own.
    Join(Join),
    /// A SQL query over the inputs: tables by the inputs' tags, or `PCOLLECTION` when there is one. Any number
    /// of inputs.
    Sql(Sql),
    /// Logs every row and gives it on. One input.
    LogForTesting(LogForTesting),
    /// Fails the run unless its input has exactly these rows, in any order. One input, no output.
    AssertEqual(AssertEqual),
    /// The failing records of an error output, without what is known about the error. One input.
    StripErrorMetadata,
    /// A function of a Wasm module. Any number of inputs; outputs are as the module declares them.
    Wasm(WasmTransform),
}

impl TransformKind {
    /// Its `type` in a pipeline file. For a Wasm transform that is what its provider calls it.
    pub fn type_name(&self) -> &str {
        match self {
            Self::Create(_) => "Create",
            Self::ReadFromText(_) => "ReadFromText",
            Self::ReadFromCsv(_) => "ReadFromCsv",
            Self::ReadFromJson(_) => "ReadFromJson",
            Self::ReadFromParquet(_) => "ReadFromParquet",
            Self::WriteToText(_) => "WriteToText",
            Self::WriteToCsv(_) => "WriteToCsv",
            Self::WriteToJson(_) => "WriteToJson",
            Self::WriteToParquet(_) => "WriteToParquet",
            Self::MapToFields(_) => "MapToFields",
            Self::Filter(_) => "Filter",
            Self::Explode(_) => "Explode",
            Self::Flatten => "Flatten",
            Self::Combine(_) => "Combine",
            Self::Join(_) => "Join",
            Self::Sql(_) => "Sql",
            Self::LogForTesting(_) => "LogForTesting",
            Self::AssertEqual(_) => "AssertEqual",
            Self::StripErrorMetadata => "StripErrorMetadata",
            Self::Wasm(wasm) => &wasm.type_name,
        }
    }

    /// Where it sends records that it cannot process, when it does not fail on them.
    pub fn error_handling(&self) -> Option<&ErrorHandling> {
        match self {
            Self::MapToFields(config) => config.error_handling.as_ref(),
            Self::Filter(config) => config.error_handling.as_ref(),
            Self::Explode(config) => config.error_handling.as_ref(),
            Self::LogForTesting(config) => config.error_handling.as_ref(),
            Self::Wasm(config) => config.error_handling.as_ref(),
            _ => None,
        }
    }

    /// Whether it makes rows that another transform can read.
    pub fn has_output(&self) -> bool {
        !matches!(
            self,
            Self::WriteToText(_)
                | Self::WriteToCsv(_)
                | Self::WriteToJson(_)
                | Self::WriteToParquet(_)
                | Self::AssertEqual(_)
        )
    }

    /// The Wasm functions that its expressions call; not the one of [`TransformKind::Wasm`], whose module the
    /// provider names.
    pub fn wasm_functions(&self) -> Vec<&WasmFunction> {
        fn call(expression: &Expression) -> Option<&WasmFunction> {
            match expression {
                Expression::Wasm(call) => Some(&call.function),
                _ => None,
            }
        }
        match self {
            Self::MapToFields(config) => config
                .fields
                .iter()
                .filter_map(|field| call(&field.expression))
                .collect(),
            Self::Filter(config) => call(&config.keep).into_iter().collect(),
            Self::Combine(config) => config
                .combine
                .iter()
                .filter_map(|aggregation| match &aggregation.function.value {
                    AggregateFunction::Wasm { function, .. } => Some(function),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        }
    }
}

/// Where records go that a transform cannot process.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorHandling {
    /// The name of the output. Its rows have the fields `element` (the input row), `msg` and `stack`.
    pub output: Spanned<String>,
    /// The part of all records, between zero and one, above which the run fails nevertheless.
    pub threshold: Option<Spanned<f64>>,
}

/// Rows in a pipeline file.
///
/// As in Beam, an element that is no mapping is a row with the single field `element`, and a field that only some
/// elements have is null in the others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// The fields of all rows, in order of first appearance.
    pub fields: Vec<String>,
    /// The rows; each has one value per field.
    pub rows: Vec<Spanned<Vec<Value>>>,
    /// Where the list is written.
    pub span: Span,
}

/// Configuration of `Create`.
#[derive(Clone, Debug, PartialEq)]
pub struct Create {
    /// The rows.
    pub elements: Rows,
    /// Whether the work that follows may be spread over tasks.
    pub reshuffle: bool,
}

/// Configuration of `AssertEqual`.
#[derive(Clone, Debug, PartialEq)]
pub struct AssertEqual {
    /// The rows that the input must have. Null fields and missing fields are the same.
    pub elements: Rows,
}

/// Configuration of `ReadFromText`.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadFromText {
    /// A file, or a glob.
    pub path: Spanned<String>,
}

/// Configuration of `ReadFromCsv`. Options are those of pandas' `read_csv` that do not need pandas.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadFromCsv {
    /// A file, or a glob.
    pub path: Spanned<String>,
    /// What separates fields (`delimiter`, or `sep`). ASCII.
    pub delimiter: Spanned<char>,
    /// What starts a comment that goes to the end of the line. ASCII.
    pub comment: Option<Spanned<char>>,
    /// What quotes fields (`quotechar`). ASCII.
    pub quote: Spanned<char>,
    /// What escapes a character (`escapechar`). ASCII.
    pub escape: Option<Spanned<char>>,
    /// Whether the first row is a header. Without one, and without `names`, fields are called `0`, `1`, and so on.
    pub header: bool,
    /// Names of all fields, in place of the header's.
    pub names: Option<Vec<Spanned<String>>>,
    /// The fields to keep (`usecols`), in the order of the file.
    pub columns: Option<Vec<Spanned<String>>>,
    /// A field to add that holds the path of the file that a row comes from.
    pub filename_column: Option<Spanned<String>>,
}

/// Configuration of `ReadFromJson`.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadFromJson {
    /// A file, or a glob.
    pub path: Spanned<String>,
    /// A field to add that holds the path of the file that a row comes from.
    pub filename_column: Option<Spanned<String>>,
}

/// Configuration of `ReadFromParquet`.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadFromParquet {
    /// A file, or a glob.
    pub path: Spanned<String>,
    /// The fields to read; all when absent.
    pub columns: Option<Vec<Spanned<String>>>,
}

/// Where a sink writes.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteTarget {
    /// The prefix of the files; a number of the file, and the suffix, come after it.
    pub path: Spanned<String>,
    /// How many files; as many as suits when absent.
    pub num_shards: Option<Spanned<u32>>,
    /// The end of the files' names; empty when absent.
    pub file_name_suffix: Option<Spanned<String>>,
}

/// Configuration of `WriteToText`.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteToText {
    /// Where to.
    pub target: WriteTarget,
}

/// Configuration of `WriteToCsv`. Options are those of pandas' `to_csv` that do not need pandas.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteToCsv {
    /// Where to.
    pub target: WriteTarget,
    /// What separates fields (`delimiter`, or `sep`). ASCII.
    pub delimiter: Spanned<char>,
    /// Whether each file starts with a header.
    pub header: bool,
    /// What quotes fields (`quotechar`). ASCII.
    pub quote: Spanned<char>,
    /// What null is written as (`na_rep`).
    pub null: String,
}

/// Configuration of `WriteToJson`.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteToJson {
    /// Where to.
    pub target: WriteTarget,
}

/// Configuration of `WriteToParquet`.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteToParquet {
    /// Where to.
    pub target: WriteTarget,
    /// `none`, `snappy`, `gzip`, `brotli`, `lz4` or `zstd`; as suits when absent.
    pub codec: Option<Spanned<String>>,
}

/// The language of expressions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// Fields, literals and comparisons, see [`GenericExpression`](super::GenericExpression).
    #[default]
    Generic,
    /// SQL (`sql`, and Beam's other name for it, `calcite`).
    Sql,
    /// Functions of Wasm modules.
    Wasm,
}

/// What computes a value from a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// The language `generic`, to be parsed when the fields of the input are known, see
    /// [`GenericExpression::parse`](super::GenericExpression::parse).
    Generic(Spanned<String>),
    /// A SQL expression over the fields of the input.
    Sql(Spanned<String>),
    /// A function of a Wasm module.
    Wasm(WasmCall),
}

/// A call of a function of a Wasm module, as `language: wasm` writes it.
///
/// ```yaml
/// language: wasm
/// fields:
///   word: word                 # a field or a literal, as in the language `generic`
///   stem:
///     path: stemmer.wasm       # the component, relative to the pipeline's folder
///     name: stem               # the function
///     args: [word, language]   # optional: the fields to call it with, in order
///     output_type: string      # optional: the type that it must give
/// ```
///
/// This is how Beam names functions of Python and JavaScript files, but for `args`. Without `args` each parameter of
/// the function takes the field that has the parameter's name.
#[derive(Clone, Debug, PartialEq)]
pub struct WasmCall {
    /// The function.
    pub function: WasmFunction,
    /// The fields to call it with; by the parameters' names when absent.
    pub args: Option<Vec<Spanned<String>>>,
}

/// A function of a Wasm module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WasmFunction {
    /// The component's file, relative to the pipeline's folder.
    pub path: Spanned<String>,
    /// The function's name.
    pub name: Spanned<String>,
}

/// Configuration of `MapToFields`.
#[derive(Clone, Debug, PartialEq)]
pub struct MapToFields {
    /// The language of the expressions.
    pub language: Language,
    /// The fields to make.
    pub fields: Vec<MappedField>,
    /// Whether the input's fields are kept, before the new ones. A new field must not have the name of a kept one.
    pub append: bool,
    /// Fields of the input that are not kept; empty unless `append`.
    pub drop: Vec<Spanned<String>>,
    /// What to do about failing records.
    pub error_handling: Option<ErrorHandling>,
}

/// A field to make.
#[derive(Clone, Debug, PartialEq)]
pub struct MappedField {
    /// Its name.
    pub name: Spanned<String>,
    /// Its value.
    pub expression: Expression,
    /// The JSON schema type that it must have, such as `string` or `{type: array, items: {type: integer}}`. Always a
    /// mapping: the short form is expanded.
    pub output_type: Option<Spanned<Value>>,
}

/// Configuration of `Filter`.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    /// The language of the expression.
    pub language: Language,
    /// The rows to keep.
    pub keep: Expression,
    /// What to do about failing records.
    pub error_handling: Option<ErrorHandling>,
}

/// Configuration of `Explode`.
#[derive(Clone, Debug, PartialEq)]
pub struct Explode {
    /// The fields of list type; each becomes a field of its element type.
    pub fields: Vec<Spanned<String>>,
    /// With several fields: all combinations if true; else the first elements, the second elements and so on, with
    /// null where a list is shorter.
    pub cross_product: bool,
    /// What to do about failing records.
    pub error_handling: Option<ErrorHandling>,
}

/// Configuration of `Combine`.
#[derive(Clone, Debug, PartialEq)]
pub struct Combine {
    /// The language of values and functions.
    pub language: Language,
    /// The fields to group by; none gives one row over all of the input.
    pub group_by: Vec<Spanned<String>>,
    /// The fields to make, after those of `group_by`.
    pub combine: Vec<Aggregation>,
}

/// One aggregation.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregation {
    /// The name of the field that it makes.
    pub field: Spanned<String>,
    /// What is aggregated. Absent only with [`AggregateFunction::Sql`].
    pub value: Option<Expression>,
    /// How.
    pub function: Spanned<AggregateFunction>,
}

/// How values are aggregated.
#[derive(Clone, Debug, PartialEq)]
pub enum AggregateFunction {
    /// Their sum.
    Sum,
    /// The largest.
    Max,
    /// The smallest.
    Min,
    /// Whether all are true.
    All,
    /// Whether any is true.
    Any,
    /// Their arithmetic mean.
    Mean,
    /// How many there are, null ones included.
    Count,
    /// The list of them.
    Group,
    /// The concatenation of them, which are lists.
    Concat,
    /// Language `sql`: the name of an aggregate function when there is a value, else a whole expression such as
    /// `count(*)`.
    Sql {
        /// The name or expression.
        function: String,
        /// SQL expressions for further arguments (the values of Beam's `config`).
        args: Vec<String>,
    },
    /// Language `wasm`: `fn: {path: FILE.wasm, name: FUNCTION, config: {...}}`.
    Wasm {
        /// The aggregate function.
        function: WasmFunction,
        /// Its configuration; null when there is none.
        config: Value,
    },
}

/// Configuration of `Join`.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// Which rows without a partner are kept.
    pub join_type: JoinType,
    /// Sets of fields that must be equal: pairs of an input's tag and a field, of two or more inputs. The short form
    /// with one field name is expanded to all inputs.
    pub equalities: Vec<Vec<(String, Spanned<String>)>>,
    /// The fields to make per input, by its tag; all fields of all inputs when empty. Inputs that are not named give
    /// all of their fields, after the others.
    pub fields: Vec<(Spanned<String>, JoinFields)>,
    /// The order and conditions of the joins of two that it comes to. The first input is where it starts.
    pub steps: Vec<JoinStep>,
}

/// Which rows without a partner a join keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinType {
    /// None.
    Inner,
    /// Those of the left side.
    Left,
    /// Those of the right side.
    Right,
    /// Those of all inputs.
    Outer,
    /// Those of these inputs.
    OuterOf(Vec<Spanned<String>>),
}

/// What one input gives to a join's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinFields {
    /// All of its fields (`'*'`).
    All,
    /// These.
    Some(Vec<JoinField>),
}

/// A field of a join's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinField {
    /// Its name in the output.
    pub name: Spanned<String>,
    /// The input's field.
    pub field: Spanned<String>,
}

/// A join of what was joined so far with one more input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinStep {
    /// The tag of the input that is added, on the right side.
    pub input: String,
    /// Which rows without a partner are kept.
    pub kind: JoinKind,
    /// What must hold, at least one condition; all must.
    pub on: Vec<JoinCondition>,
}

/// A join of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    /// Only pairs.
    Inner,
    /// Pairs, and rows of the left side.
    Left,
    /// Pairs, and rows of the right side.
    Right,
    /// Pairs, and rows of both sides.
    Full,
}

/// Two fields that must be equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinCondition {
    /// Tag and field of an input that was joined before.
    pub left: (String, Spanned<String>),
    /// Tag and field of the input that is added.
    pub right: (String, Spanned<String>),
}

/// Configuration of `Sql`.
#[derive(Clone, Debug, PartialEq)]
pub struct Sql {
    /// The query.
    pub query: Spanned<String>,
    /// The SQL dialect that was asked for.
    pub dialect: Option<Spanned<String>>,
}

/// Configuration of `LogForTesting`.
#[derive(Clone, Debug, PartialEq)]
pub struct LogForTesting {
    /// How serious the lines are.
    pub level: LogLevel,
    /// Written before each row.
    pub prefix: String,
    /// Accepted as Beam does; a row can always be logged.
    pub error_handling: Option<ErrorHandling>,
}

/// A transform that a provider of `type: wasm` defines.
#[derive(Clone, Debug, PartialEq)]
pub struct WasmTransform {
    /// The name that the provider gives it.
    pub type_name: String,
    /// The provider: an index into [`Pipeline::providers`](super::Pipeline::providers).
    pub provider: usize,
    /// The function.
    pub function: Spanned<String>,
    /// Its configuration, without `error_handling`; an empty mapping when there is none.
    pub config: Spanned<Value>,
    /// What to do about failing records.
    pub error_handling: Option<ErrorHandling>,
}
