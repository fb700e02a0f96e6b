//! A checked pipeline to the parts of a job.
