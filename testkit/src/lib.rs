//! Real servers for tests: PostgreSQL, and a server that speaks S3 and SQS. Each is started on a free loopback port and
//! ends with the test process; what a machine lacks is installed into the cache folder.
//!
//! **Boundary.** Knows nothing of Weir.

mod aws;
mod cache;
mod postgres;
mod proxy;
mod server;

pub use aws::{Aws, DeadLetters, QueueSpec};
pub use postgres::Postgres;
pub use proxy::{Call, Fault, Policy, Proxy};
