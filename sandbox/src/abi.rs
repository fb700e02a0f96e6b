//! The types of `sdk-guest/wit`, as wasmtime lowers and lifts them.
//!
//! Written by hand and not by `bindgen!`, so that arguments are lowered from borrowed slices: no buffer of a batch is
//! copied before it is written into the guest's memory.

use wasmtime::component::{ComponentType, Lift, Lower};

pub(crate) const FUNCTIONS: &str = "weir:udf/functions@0.1.0";
pub(crate) const SCALAR: &str = "weir:udf/scalar@0.1.0";
pub(crate) const FLAT_MAP: &str = "weir:udf/flat-map@0.1.0";
pub(crate) const AGGREGATE: &str = "weir:udf/aggregate@0.1.0";
pub(crate) const LOG: &str = "weir:udf/log@0.1.0";
pub(crate) const METRICS: &str = "weir:udf/metrics@0.1.0";

#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(variant)]
pub(crate) enum DataType {
    #[component(name = "boolean")]
    Boolean,
    #[component(name = "int8")]
    Int8,
    #[component(name = "int16")]
    Int16,
    #[component(name = "int32")]
    Int32,
    #[component(name = "int64")]
    Int64,
    #[component(name = "uint8")]
    UInt8,
    #[component(name = "uint16")]
    UInt16,
    #[component(name = "uint32")]
    UInt32,
    #[component(name = "uint64")]
    UInt64,
    #[component(name = "float32")]
    Float32,
    #[component(name = "float64")]
    Float64,
    #[component(name = "utf8")]
    Utf8,
    #[component(name = "binary")]
    Binary,
    #[component(name = "date32")]
    Date32,
    #[component(name = "timestamp")]
    Timestamp(Option<String>),
    #[component(name = "decimal128")]
    Decimal128(Decimal),
    #[component(name = "list")]
    List,
    #[component(name = "struct")]
    Struct,
}

#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct Decimal {
    pub(crate) precision: u8,
    pub(crate) scale: i8,
}

#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct Field {
    pub(crate) name: String,
    #[component(name = "data-type")]
    pub(crate) data_type: DataType,
    pub(crate) nullable: bool,
    pub(crate) children: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct Node {
    pub(crate) length: u32,
    #[component(name = "null-count")]
    pub(crate) null_count: u32,
}

/// A batch on its way in.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct BatchIn<'a> {
    pub(crate) rows: u32,
    pub(crate) nodes: &'a [Node],
    pub(crate) buffers: &'a [&'a [u8]],
}

/// A batch on its way out. The one copy of its bytes is the one that brought them here.
#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct BatchOut {
    pub(crate) rows: u32,
    pub(crate) nodes: Vec<Node>,
    pub(crate) buffers: Vec<Vec<u8>>,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct RowError {
    pub(crate) row: u32,
    pub(crate) message: String,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct GuestError {
    pub(crate) message: String,
    pub(crate) row: Option<u32>,
}

#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "lifting makes them")]
pub(crate) enum Kind {
    #[component(name = "scalar")]
    Scalar,
    #[component(name = "flat-map")]
    FlatMap,
    #[component(name = "aggregate")]
    Aggregate,
}

#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "lifting makes them")]
pub(crate) enum Volatility {
    #[component(name = "immutable")]
    Immutable,
    #[component(name = "stable")]
    Stable,
    #[component(name = "volatile")]
    Volatile,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Output {
    pub(crate) name: String,
    pub(crate) fields: Vec<Field>,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) params: Vec<Field>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) state: Vec<Field>,
    pub(crate) volatility: Volatility,
    pub(crate) docs: String,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Evaluated {
    pub(crate) column: BatchOut,
    pub(crate) errors: Vec<RowError>,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Emitted {
    pub(crate) output: u32,
    pub(crate) rows: BatchOut,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Mapped {
    pub(crate) outputs: Vec<Emitted>,
    pub(crate) errors: Vec<RowError>,
}

#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "lifting makes them")]
pub(crate) enum LogLevel {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Samples {
    pub(crate) count: u64,
    pub(crate) sum: i64,
    pub(crate) min: i64,
    pub(crate) max: i64,
}
