//! Whole runs over an SQLite file, in-process queues, a folder and a scripted task runner.

mod cancellation;
mod dead_letters;
mod failures;
mod fleet;
mod kit;
mod mortal;
mod queues;
mod recovery;
mod runs;
mod script;
mod store;
