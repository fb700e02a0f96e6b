//! Logs for operators, on stderr.

use std::io::Write as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

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
        // Nobody is left to hear that stderr is gone.
        let _ = std::io::stderr().flush();
    }
}

/// Sets logging up for the whole process. The variable `WEIR_LOG` overrides the filter.
pub fn init(options: &Options) -> Result<Guard, Error> {
    let text = std::env::var("WEIR_LOG").unwrap_or_else(|_| options.filter.clone());
    let filter = parse_filter(&text)?;
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let result = match options.format {
        Format::Human => {
            let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            registry.with(layer.with_ansi(terminal)).try_init()
        }
        Format::Json => registry.with(layer.json()).try_init(),
    };
    result.map_err(|_| Error::AlreadySet)?;
    Ok(Guard(()))
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
