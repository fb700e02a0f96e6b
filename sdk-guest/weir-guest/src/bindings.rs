//! The contract, as generated from `sdk-guest/wit`.

#![allow(missing_docs, clippy::all)]

wit_bindgen::generate!({
    path: "../wit",
    world: "udf",
    pub_export_macro: true,
    export_macro_name: "export_component",
    default_bindings_module: "weir_guest::__private::bindings",
});
