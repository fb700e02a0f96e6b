//! Against real servers.

mod s3;
