//! Sources and sinks: files in, files out.

mod sink;

pub use sink::SinkSpec;
