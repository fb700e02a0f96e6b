//! A component whose functions are well-behaved until their configuration asks for an attack.
//!
//! The configuration is `{"attack": "WHERE:WHAT"}`. `WHERE` is one of `open`, `scalar`, `flat-map`, `update`, `merge`,
//! `state` and `evaluate`. `WHAT` is either one of [`strike`], which works anywhere, or a [`forgery`] of the batch that
//! the call returns.

mod forgery;
mod functions;
mod strike;

wit_bindgen::generate!({
    path: "../../../../sdk-guest/wit",
    world: "udf",
});

struct Component;

export!(Component);
