//! Looking into uploaded modules.

use std::sync::Arc;

use async_trait::async_trait;
use weir_control_plane::http::resources::{ModuleFunction, ModuleOutput};
use weir_control_plane::http::{InspectError, ModuleInspector};
use weir_sandbox::{Function, FunctionKind, Sandbox, Volatility};

use crate::cells;
use crate::error::chain;

/// Looks into modules by loading them, as planning will.
pub(crate) struct SandboxInspector(pub(crate) Arc<Sandbox>);

#[async_trait]
impl ModuleInspector for SandboxInspector {
    async fn inspect(&self, bytes: axum::body::Bytes) -> Result<Vec<ModuleFunction>, InspectError> {
        let sandbox = Arc::clone(&self.0);
        // Compiling takes up to seconds.
        let loaded = tokio::task::spawn_blocking(move || sandbox.load(&bytes)).await;
        let module = match loaded {
            Ok(Ok(module)) => module,
            Ok(Err(error)) if error.is_user() => return Err(InspectError::Invalid { message: chain(&error) }),
            Ok(Err(error)) => return Err(InspectError::Platform { source: error.into() }),
            Err(error) => return Err(InspectError::Platform { source: error.into() }),
        };
        Ok(module.functions().iter().map(|function| describe(function)).collect())
    }
}

fn describe(function: &Function) -> ModuleFunction {
    ModuleFunction {
        name: function.name.clone(),
        kind: match function.kind {
            FunctionKind::Scalar => "scalar",
            FunctionKind::FlatMap => "flat_map",
            FunctionKind::Aggregate => "aggregate",
        }
        .to_owned(),
        arguments: cells::columns(&function.params),
        outputs: function
            .outputs
            .iter()
            .map(|output| ModuleOutput {
                name: output.name.clone(),
                columns: cells::columns(output.schema.fields()),
            })
            .collect(),
        volatility: match function.volatility {
            Volatility::Immutable => "immutable",
            Volatility::Stable => "stable",
            Volatility::Volatile => "volatile",
        }
        .to_owned(),
        docs: function.docs.clone(),
    }
}
