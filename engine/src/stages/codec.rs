//! How stage plans become bytes.
//!
//! DataFusion's own operators and functions travel as its protobuf messages. Ours travel inside its extension nodes as
//! one tagged enum, [`Operator`]: a module that has an operator adds a variant whose content it encodes and decodes
//! itself, with [`Encoder`] and [`Decoder`] for schemas and expressions. The format carries no compatibility promise:
//! plans name the build that made them, and another build refuses them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::{internal_err, not_impl_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::{ExecutionPlan, Partitioning};
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
};
use datafusion_proto::physical_plan::from_proto::{parse_physical_sort_exprs, parse_protobuf_partitioning};
use datafusion_proto::physical_plan::to_proto::{serialize_partitioning, serialize_physical_sort_exprs};
use datafusion_proto::physical_plan::{
    DefaultPhysicalProtoConverter, PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf;
use prost::Message;
use serde::{Deserialize, Serialize};
use weir_model::{Digest, StageId};

use super::travel::{self, CompressedScan};
use crate::io::scan::{ScanExec, ScanSpec};
use crate::pipeline;
use crate::pipeline::operators::RowsSpec;
use crate::shuffle::ShuffleReaderExec;
use crate::wasm::{
    FlatMapSpec, Functions, WasmFlatMapExec, WasmFunction, WasmFunctionRef, aggregate_reference, scalar_reference,
};

/// An operator of ours, as it travels.
#[derive(Debug, Serialize, Deserialize)]
enum Operator {
    ShuffleReader(ReaderSpec),
    Scan(ScanSpec),
    /// How the files of the scan below are compressed, by name.
    CompressedScan(String),
    Rows(RowsSpec),
    FlatMap {
        function: WasmFunctionRef,
        spec: FlatMapSpec,
        /// Over the columns of the input.
        args: Vec<Vec<u8>>,
    },
}

/// A [`ShuffleReaderExec`], as it travels.
#[derive(Debug, Serialize, Deserialize)]
struct ReaderSpec {
    stage: StageId,
    shuffle_partitions: std::ops::Range<u32>,
    gather: bool,
    schema: Vec<u8>,
    partitioning: Vec<u8>,
    /// Each is a list of sort expressions that hold for every partition.
    orderings: Vec<Vec<Vec<u8>>>,
}

/// Translates our operators and functions.
#[derive(Default)]
pub struct PlanCodec {
    functions: Functions,
    /// Modules that encoded functions named since the last look.
    modules: Mutex<BTreeSet<Digest>>,
}

impl fmt::Debug for PlanCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlanCodec").finish_non_exhaustive()
    }
}

impl PlanCodec {
    /// A codec for plans that call `functions`.
    pub fn new(functions: Functions) -> Self {
        Self {
            functions,
            modules: Mutex::default(),
        }
    }

    /// The Wasm functions that plans can call.
    pub fn functions(&self) -> &Functions {
        &self.functions
    }

    /// A whole plan as bytes.
    pub fn encode(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<u8>> {
        Ok(physical_plan_to_bytes_with_extension_codec(travel::prepare(plan)?, self)?.into())
    }

    /// The Wasm modules of the functions that were encoded since the last call.
    pub fn take_modules(&self) -> Vec<Digest> {
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *modules).into_iter().collect()
    }

    fn note_module(&self, module: Digest) {
        self.modules
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(module);
    }

    fn encode_function(&self, function: &WasmFunctionRef, buffer: &mut Vec<u8>) -> Result<()> {
        self.note_module(function.module);
        *buffer = postcard::to_extend(function, std::mem::take(buffer)).map_err(invalid)?;
        Ok(())
    }

    fn decode_function(&self, bytes: &[u8]) -> Result<WasmFunction> {
        self.functions.function(&postcard::from_bytes(bytes).map_err(invalid)?)
    }

    /// What [`encode`](Self::encode) wrote. Every call gives operators of its own, with no state.
    pub fn decode(&self, bytes: &[u8], context: &TaskContext) -> Result<Arc<dyn ExecutionPlan>> {
        physical_plan_from_bytes_with_extension_codec(bytes, context, self)
    }

    /// Helps to encode what operators hold.
    pub fn encoder(&self) -> Encoder<'_> {
        Encoder {
            codec: self,
            converter: &DefaultPhysicalProtoConverter {},
        }
    }

    /// Helps to decode what operators hold.
    pub fn decoder<'a>(&'a self, context: &'a TaskContext) -> Decoder<'a> {
        Decoder {
            codec: self,
            context,
            converter: &DefaultPhysicalProtoConverter {},
        }
    }
}

impl PhysicalExtensionCodec for PlanCodec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let decoder = Decoder {
            codec: self,
            context,
            converter,
        };
        match postcard::from_bytes(bytes).map_err(invalid)? {
            Operator::ShuffleReader(spec) => decode_reader(&spec, &decoder),
            Operator::Scan(spec) => Ok(Arc::new(ScanExec::new(spec)?)),
            Operator::CompressedScan(compression) => {
                let [input] = inputs else {
                    return internal_err!("a scan of a stage plan has {} inputs", inputs.len());
                };
                CompressedScan::restore(input, compression.parse().map_err(invalid)?)
            }
            Operator::Rows(spec) => spec.decode(inputs, &decoder),
            Operator::FlatMap { function, spec, args } => {
                let [input] = inputs else {
                    return internal_err!("a flat-map of a stage plan has {} inputs instead of one", inputs.len());
                };
                let schema = input.schema();
                let args = args
                    .iter()
                    .map(|arg| decoder.expr(arg, &schema))
                    .collect::<Result<_>>()?;
                let function = self.functions.function(&function)?;
                Ok(Arc::new(WasmFlatMapExec::new(function, spec, args, Arc::clone(input))?))
            }
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buffer: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let encoder = Encoder { codec: self, converter };
        let operator = if let Some(reader) = node.downcast_ref::<ShuffleReaderExec>() {
            Operator::ShuffleReader(encode_reader(reader, &encoder)?)
        } else if let Some(scan) = node.downcast_ref::<ScanExec>() {
            Operator::Scan(scan.spec().clone())
        } else if let Some(scan) = node.downcast_ref::<CompressedScan>() {
            Operator::CompressedScan(scan.compression().to_string())
        } else if let Some(rows) = RowsSpec::encode(&node, &encoder)? {
            Operator::Rows(rows)
        } else if let Some(map) = node.downcast_ref::<WasmFlatMapExec>() {
            let function = map.function().reference().clone();
            self.note_module(function.module);
            let args = map.args().iter().map(|arg| encoder.expr(arg)).collect::<Result<_>>()?;
            Operator::FlatMap {
                function,
                spec: map.spec().clone(),
                args,
            }
        } else {
            return not_impl_err!("{} cannot run in a task of its own", node.name());
        };
        *buffer = postcard::to_extend(&operator, std::mem::take(buffer)).map_err(invalid)?;
        Ok(())
    }

    fn try_encode_udf(&self, function: &ScalarUDF, buffer: &mut Vec<u8>) -> Result<()> {
        match scalar_reference(function) {
            Some(function) => self.encode_function(function, buffer),
            None => Ok(()),
        }
    }

    fn try_encode_udaf(&self, function: &AggregateUDF, buffer: &mut Vec<u8>) -> Result<()> {
        match aggregate_reference(function) {
            Some(function) => self.encode_function(function, buffer),
            None => Ok(()),
        }
    }

    fn try_decode_udaf(&self, _: &str, bytes: &[u8]) -> Result<Arc<AggregateUDF>> {
        self.decode_function(bytes)?.aggregate_udf()
    }

    fn try_decode_udf(&self, name: &str, bytes: &[u8]) -> Result<Arc<ScalarUDF>> {
        if !bytes.is_empty() {
            return self.decode_function(bytes)?.scalar_udf();
        }
        match pipeline::function(name) {
            Some(function) => Ok(function),
            None => not_impl_err!("there is no function {name}"),
        }
    }
}

fn encode_reader(reader: &ShuffleReaderExec, encoder: &Encoder<'_>) -> Result<ReaderSpec> {
    let orderings = reader.properties().equivalence_properties().oeq_class().iter();
    Ok(ReaderSpec {
        stage: reader.stage(),
        shuffle_partitions: reader.shuffle_partitions(),
        gather: reader.gathers(),
        schema: encoder.schema(&reader.schema())?,
        partitioning: encoder.partitioning(reader.properties().output_partitioning())?,
        orderings: orderings
            .map(|ordering| encoder.sort_exprs(ordering.iter().cloned()))
            .collect::<Result<_>>()?,
    })
}

fn decode_reader(spec: &ReaderSpec, decoder: &Decoder<'_>) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = decoder.schema(&spec.schema)?;
    let partitioning = decoder.partitioning(&spec.partitioning, &schema)?;
    let orderings = spec
        .orderings
        .iter()
        .map(|ordering| decoder.sort_exprs(ordering, &schema))
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .filter_map(LexOrdering::new);
    let equivalences = EquivalenceProperties::new_with_orderings(schema, orderings);
    Ok(Arc::new(ShuffleReaderExec::build(
        spec.stage,
        spec.shuffle_partitions.clone(),
        spec.gather,
        partitioning,
        equivalences,
    )))
}

/// Encodes what operators hold.
pub struct Encoder<'a> {
    codec: &'a PlanCodec,
    converter: &'a dyn PhysicalProtoConverterExtension,
}

impl Encoder<'_> {
    /// A schema.
    pub fn schema(&self, schema: &Schema) -> Result<Vec<u8>> {
        Ok(protobuf::Schema::try_from(schema)?.encode_to_vec())
    }

    /// An expression.
    pub fn expr(&self, expr: &Arc<dyn PhysicalExpr>) -> Result<Vec<u8>> {
        Ok(self.converter.physical_expr_to_proto(expr, self.codec)?.encode_to_vec())
    }

    /// Sort expressions.
    pub fn sort_exprs(&self, exprs: impl IntoIterator<Item = PhysicalSortExpr>) -> Result<Vec<Vec<u8>>> {
        let exprs = serialize_physical_sort_exprs(exprs, self.codec, self.converter)?;
        Ok(exprs.iter().map(Message::encode_to_vec).collect())
    }

    /// How rows are assigned to partitions.
    pub fn partitioning(&self, partitioning: &Partitioning) -> Result<Vec<u8>> {
        Ok(serialize_partitioning(partitioning, self.codec, self.converter)?.encode_to_vec())
    }
}

/// Decodes what operators hold.
pub struct Decoder<'a> {
    codec: &'a PlanCodec,
    context: &'a TaskContext,
    converter: &'a dyn PhysicalProtoConverterExtension,
}

impl Decoder<'_> {
    fn plan_context(&self) -> PhysicalPlanDecodeContext<'_> {
        PhysicalPlanDecodeContext::new(self.context, self.codec)
    }

    /// A schema.
    pub fn schema(&self, bytes: &[u8]) -> Result<SchemaRef> {
        let schema = protobuf::Schema::decode(bytes).map_err(invalid)?;
        Ok(Arc::new(Schema::try_from(&schema)?))
    }

    /// An expression over columns of `schema`.
    pub fn expr(&self, bytes: &[u8], schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
        let expr = protobuf::PhysicalExprNode::decode(bytes).map_err(invalid)?;
        self.converter
            .proto_to_physical_expr(&expr, schema, &self.plan_context())
    }

    /// Sort expressions over columns of `schema`.
    pub fn sort_exprs(&self, exprs: &[Vec<u8>], schema: &Schema) -> Result<Vec<PhysicalSortExpr>> {
        let exprs = exprs
            .iter()
            .map(|bytes| protobuf::PhysicalSortExprNode::decode(bytes.as_slice()).map_err(invalid))
            .collect::<Result<Vec<_>>>()?;
        parse_physical_sort_exprs(&exprs, &self.plan_context(), schema, self.converter)
    }

    /// How rows are assigned to partitions.
    pub fn partitioning(&self, bytes: &[u8], schema: &Schema) -> Result<Partitioning> {
        let partitioning = protobuf::Partitioning::decode(bytes).map_err(invalid)?;
        parse_protobuf_partitioning(Some(&partitioning), &self.plan_context(), schema, self.converter)?
            .ok_or_else(|| DataFusionError::Internal("a partitioning of a stage plan is empty".to_owned()))
    }
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
