//! The state machine of a run: a test per rule, and runs in a simulated world where everything goes wrong.

mod coalesce;
mod failures;
mod graphs;
mod lifecycle;
mod liveness;
mod pause;
mod recovery;
mod restart;
mod run;
mod simulation;
mod snapshot;
mod spark;
mod speculation;
