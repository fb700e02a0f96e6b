//! The parts of the service as its processes are made of them.

pub(crate) mod health;
pub(crate) mod inspector;
pub(crate) mod machine;
pub(crate) mod parts;
pub(crate) mod prices;
pub(crate) mod reader;
pub(crate) mod signals;
pub(crate) mod sql;
