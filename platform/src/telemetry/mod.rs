//! What operators see: logs on stderr, metrics for Prometheus, and traces and metrics over OTLP.
//!
//! OTLP (HTTP, protobuf) is set up by the standard variables: nothing is exported unless `OTEL_EXPORTER_OTLP_ENDPOINT`,
//! or the one of a signal, is set; `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_EXPORTER_OTLP_HEADERS`,
//! `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_EXPORTER=none`, `OTEL_SDK_DISABLED` and the like do what they do everywhere.

mod export;
mod ids;
pub mod metrics;
pub mod trace;

use std::io::Write as _;

use opentelemetry::trace::TracerProvider as _;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{DynFilterFn, LevelFilter};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

pub use export::prometheus_text;

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is logged when `WEIR_LOG` is not set, in the syntax of that variable: `warn`, `info,weir_worker=debug`, …
    pub filter: String,
    /// How a line looks.
    pub format: Format,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people; coloured when stderr is a terminal.
    #[default]
    Human,
    /// One JSON object per line.
    Json,
}

/// Telemetry could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter does not parse.
    #[error("the log filter `{filter}` is not valid; write for example `info,weir_worker=debug`")]
    Filter {
        /// The filter.
        filter: String,
        /// Why not.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Traces and metrics cannot be exported.
    #[error("traces and metrics cannot be exported; check the variables that begin with OTEL_: {reason}")]
    Export {
        /// Why not.
        reason: String,
    },
    /// Something else in the process has set telemetry up already.
    #[error("telemetry is set up already")]
    AlreadySet,
}

/// Keeps telemetry going; hold it until the process ends, so that nothing that was logged is lost.
#[must_use = "telemetry is flushed when the guard is dropped"]
#[derive(Debug)]
pub struct Guard(());

impl Drop for Guard {
    fn drop(&mut self) {
        export::providers().flush();
        // Nobody is left to hear that stderr is gone.
        let _ = std::io::stderr().flush();
    }
}

/// Sets telemetry up for the whole process. The variable `WEIR_LOG` overrides the filter of the logs.
pub fn init(options: &Options) -> Result<Guard, Error> {
    let text = std::env::var("WEIR_LOG").unwrap_or_else(|_| options.filter.clone());
    let filter = parse_filter(&text)?;
    let providers = export::providers();
    if let Some(reason) = &providers.error {
        return Err(Error::Export {
            reason: reason.to_string(),
        });
    }
    let traces = providers.tracers.as_ref().map(|tracers| {
        let layer = tracing_opentelemetry::layer().with_tracer(tracers.tracer("weir"));
        let layer = layer
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false);
        layer.with_filter(DynFilterFn::new(is_traced).with_max_level_hint(LevelFilter::DEBUG))
    });
    let logs = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let logs = match options.format {
        Format::Human => {
            let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            logs.with_ansi(terminal).with_filter(filter).boxed()
        }
        Format::Json => logs.json().with_filter(filter).boxed(),
    };
    let registry = tracing_subscriber::registry().with(traces).with(logs);
    registry.try_init().map_err(|_| Error::AlreadySet)?;
    Ok(Guard(()))
}

/// Whether something belongs into a trace: what we say, and the calls of AWS that are made for it. Those that belong to
/// nothing, such as long polls, would be traces of their own without end.
fn is_traced<S>(metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let target = metadata.target();
    if target.starts_with("weir") {
        return *metadata.level() <= Level::INFO && (metadata.is_span() || context.lookup_current().is_some());
    }
    target.starts_with("aws_sdk_") && metadata.is_span() && context.lookup_current().is_some()
}

fn parse_filter(text: &str) -> Result<EnvFilter, Error> {
    EnvFilter::try_new(text).map_err(|source| Error::Filter {
        filter: text.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_filter_is_named() {
        let error = parse_filter("info,weir_worker=loud").unwrap_err();
        assert!(error.to_string().contains("`info,weir_worker=loud`"), "{error}");
        parse_filter("info,weir_worker=debug").unwrap();
    }

    #[test]
    fn telemetry_is_set_up_once() {
        let options = Options {
            filter: "off".into(),
            format: Format::Json,
        };
        let _guard = init(&options).unwrap();
        assert!(matches!(init(&options), Err(Error::AlreadySet)));
    }
}
