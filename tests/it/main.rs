//! End to end, through the `weir` command, as a user has it.

mod support;
