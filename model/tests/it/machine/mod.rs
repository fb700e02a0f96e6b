//! The state machine of a run: a test per rule, and runs in a simulated world where everything goes wrong.

mod coalesce;
mod failures;
mod graphs;
mod lifecycle;
mod liveness;
mod recovery;
mod run;
mod simulation;
mod snapshot;
mod spark;
mod speculation;
