//! Wasm functions as DataFusion functions and operators.
