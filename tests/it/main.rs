//! End to end, through the `weir` command, as a user has it.

mod buckets;
mod cancel;
mod chaos;
mod depth;
mod explain;
mod jobs;
mod recovery;
mod runs;
mod service;
mod sql;
mod support;
mod telemetry;
mod textkit;
mod validate;
mod wordcount;
mod wordcount_component;
