//! Whole runs over an SQLite file, in-process queues, a folder and a scripted task runner.

mod cancellation;
mod dead_letters;
mod door;
mod failures;
mod fairness;
mod fleet;
mod history;
mod housekeeping;
mod kit;
mod mortal;
mod queues;
mod recovery;
mod runs;
mod scaling;
mod schedules;
mod script;
mod speculation;
mod store;
