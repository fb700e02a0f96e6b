//! SQL jobs.
