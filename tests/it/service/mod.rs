//! The service as it is run: servers and workers as processes of their own over real Postgres, SQS and S3 protocols.

mod audit;
mod costly;
mod database;
mod dev;
mod doctor;
mod faults;
mod findings;
pub(crate) mod fleet;
mod history;
mod http;
mod identity;
mod isolation;
mod lists;
mod oidc;
mod pipelines;
mod quotas;
mod rows;
mod runs;
mod scaling;
mod schedules;
mod sessions;
mod storage;
mod stream;
mod tls;
mod traces;
mod wordcount;
