//! Against real servers.

mod queues;
mod s3;
mod sqs;
