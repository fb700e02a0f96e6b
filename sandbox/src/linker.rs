//! What a component may import, and what it gets.

use std::collections::BTreeSet;

use wasmtime::StoreContextMut;
use wasmtime::component::{Component, InstancePre, Linker};
use weir_model::{LogLevel, MetricValue};

use crate::Error;
use crate::instance::State;
use crate::{abi, wasi};

/// Links a component, or says which of its imports it must not have.
pub(crate) fn link(component: &Component) -> Result<InstancePre<State>, Error> {
    let invalid = |message: String| Error::invalid_module(message);
    let engine = component.engine();
    let imports: Vec<String> = component
        .component_type()
        .imports(engine)
        .map(|(name, _)| name.to_string())
        .collect();
    let refused: BTreeSet<&str> = imports
        .iter()
        .map(String::as_str)
        .filter(|name| !is_ours(name) && !wasi::is_inert(name))
        .collect();
    if !refused.is_empty() {
        let names = refused
            .into_iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", ");
        return Err(invalid(format!(
            "it imports {names}; functions can reach nothing but their log and metrics, so build it without what needs \
             that"
        )));
    }
    let mut linker = Linker::new(engine);
    define_log(&mut linker)
        .and_then(|()| define_metrics(&mut linker))
        .and_then(|()| imports.iter().try_for_each(|name| wasi::define(&mut linker, name)))
        .and_then(|()| linker.define_unknown_imports_as_traps(component))
        .map_err(|source| Error::Engine {
            doing: "linking a module",
            source: source.into(),
        })?;
    // What is left are imports of the right name with the wrong types.
    linker
        .instantiate_pre(component)
        .map_err(|error| invalid(format!("{error:#}")))
}

fn is_ours(name: &str) -> bool {
    name == abi::LOG || name == abi::METRICS || name == "weir:udf/types@0.1.0"
}

fn define_log(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.instance(abi::LOG)?.func_wrap(
        "log",
        |mut store: StoreContextMut<'_, State>, (level, message): (abi::LogLevel, String)| {
            let level = match level {
                abi::LogLevel::Debug => LogLevel::Debug,
                abi::LogLevel::Info => LogLevel::Info,
                abi::LogLevel::Warn => LogLevel::Warn,
                abi::LogLevel::Error => LogLevel::Error,
            };
            store.data_mut().log.log(level, &message);
            Ok(())
        },
    )
}

fn define_metrics(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut metrics = linker.instance(abi::METRICS)?;
    metrics.func_wrap(
        "counter",
        |mut store: StoreContextMut<'_, State>, (name, delta): (String, i64)| {
            store
                .data_mut()
                .log
                .metric(&name, MetricValue::Counter { value: delta });
            Ok(())
        },
    )?;
    metrics.func_wrap(
        "distribution",
        |mut store: StoreContextMut<'_, State>, (name, samples): (String, abi::Samples)| {
            let abi::Samples { count, sum, min, max } = samples;
            if count > 0 {
                store
                    .data_mut()
                    .log
                    .metric(&name, MetricValue::Distribution { count, sum, min, max });
            }
            Ok(())
        },
    )?;
    metrics.func_wrap(
        "gauge",
        |mut store: StoreContextMut<'_, State>, (name, value): (String, i64)| {
            store.data_mut().log.metric(&name, MetricValue::Gauge { value });
            Ok(())
        },
    )
}
