//! What the attributes make of functions, called as a component's exports call them but outside Wasm.

mod aggregate;
mod flat_map;
mod scalar;
mod support;
