//! Runs real components: each guest is a crate below `tests/guests`, built when its first test asks for it.

mod aggregate;
mod flat_map;
mod hostile;
mod limits;
mod loading;
mod scalar;
mod support;
