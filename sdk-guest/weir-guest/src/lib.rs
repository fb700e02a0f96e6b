//! Write functions for Weir pipelines in Rust.
//!
//! A function is an ordinary Rust function with an attribute. A crate may hold any number of them, of three kinds, and
//! names them once, in [`export!`]:
//!
//! ```
//! use weir_guest::{Emitter, Row};
//!
//! /// Celsius from Fahrenheit.
//! #[weir_guest::scalar]
//! fn celsius(fahrenheit: f64) -> f64 {
//!     (fahrenheit - 32.0) / 1.8
//! }
//!
//! #[derive(Row)]
//! struct Word<'a> {
//!     word: &'a str,
//! }
//!
//! /// The words of a line.
//! #[weir_guest::flat_map]
//! fn words(line: &str, out: &mut Emitter<Word>) {
//!     line.split_whitespace().for_each(|word| out.emit(Word { word }));
//! }
//!
//! /// The longest text of a group.
//! struct Longest;
//!
//! #[weir_guest::aggregate]
//! impl Longest {
//!     fn create() -> Option<String> {
//!         None
//!     }
//!
//!     fn add(longest: &mut Option<String>, text: &str) {
//!         if longest.as_ref().is_none_or(|longest| longest.len() < text.len()) {
//!             *longest = Some(text.to_owned());
//!         }
//!     }
//!
//!     fn merge(longest: &mut Option<String>, other: Option<String>) {
//!         if let Some(other) = other {
//!             Self::add(longest, &other);
//!         }
//!     }
//!
//!     fn extract(longest: Option<String>) -> Option<String> {
//!         longest
//!     }
//! }
//!
//! weir_guest::export!(celsius, words, Longest);
//! ```
//!
//! The crate is a `cdylib`, built by `weir build`:
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib"]
//!
//! [profile.release]
//! codegen-units = 1
//! lto = true
//! panic = "abort"
//! strip = true
//! ```
//!
//! Functions stay ordinary functions: `cargo test` on the author's machine calls them directly, without Wasm. (Add
//! `"rlib"` to `crate-type` for tests in `tests/`.)
//!
//! # Types
//!
//! | Rust | column |
//! |---|---|
//! | `bool`; `i8` to `i64`; `u8` to `u64`; `f32`, `f64` | the same |
//! | `&str`, `String`, `Cow<str>` | text |
//! | `&[u8]`, `Vec<u8>`, `Cow<[u8]>` | bytes |
//! | [`Date`], [`Timestamp`], [`UtcTimestamp`] | date; date and time; instant |
//! | [`Decimal<PRECISION, SCALE>`](Decimal) | decimal number |
//! | `Vec<T>` | list |
//! | a struct that derives [`Row`] | struct |
//! | `Option<T>` | any of these, with nulls |
//!
//! Arguments that borrow (`&str`) are not copied. Not supported in this version: `i128`, half-precision floats, times
//! of day, intervals, maps, unions, and lists of `u8`.
//!
//! # Nulls
//!
//! A function that takes `Option<T>` sees nulls. A function that takes `T` does not run where that argument is null: a
//! scalar gives null there, a flat-map gives nothing, an aggregate leaves the row out.
//!
//! # Errors
//!
//! A function may return `Result<_, E>`, where `E` implements `Display`. An error refuses the row: the pipeline's error
//! handling takes it, or the run fails with the message and the row. A panic is different: it ends the run, always.
//!
//! # What a function can reach
//!
//! Its arguments, its [`config`], its log ([`info!`] and the like) and its metrics ([`counter!`], [`distribution!`],
//! [`gauge!`]). There are no files, no network, no environment; clocks stand still, and random numbers are the same in
//! every instance, so that a task that is tried again does the same. What is printed goes to the log.
//!
//! # Speed
//!
//! A call handles a batch of some thousand rows. Loops over numbers are vectorised, when the function is simple enough
//! and no argument is null; build with `-Ctarget-feature=+simd128` (as `weir build` does).

#[doc(hidden)]
pub mod bindings;
mod build;
mod column;
mod component;
mod config;
mod function;
pub mod json;
pub mod log;
pub mod metrics;
mod value;

pub use config::{Config, config};
pub use function::Emitter;
pub use value::{Date, Decimal, Item, Read, Row, Timestamp, UtcTimestamp, Write};
pub use weir_guest_macros::{Row, aggregate, flat_map, scalar};

/// Makes functions the functions of this component. To be used once, at the top level of the crate.
///
/// Names are those of the Rust functions, and of the types with `#[weir_guest::aggregate]`; they may be paths.
///
/// ```
/// mod text {
///     #[weir_guest::scalar]
///     pub fn shout(text: &str) -> String {
///         text.to_uppercase()
///     }
/// }
///
/// weir_guest::export!(text::shout);
/// ```
#[macro_export]
macro_rules! export {
    ($($function:path),+ $(,)?) => {
        #[doc(hidden)]
        pub struct __WeirComponent;

        impl $crate::__private::Component for __WeirComponent {
            fn describe() -> ::std::vec::Vec<$crate::__private::Description> {
                ::std::vec![$(<$function as $crate::__private::Function>::describe()),+]
            }

            fn open(function: &str) -> ::core::option::Option<::std::boxed::Box<dyn $crate::__private::Instance>> {
                $(
                    if function == <$function as $crate::__private::Function>::NAME {
                        return ::core::option::Option::Some(<$function as $crate::__private::Function>::open());
                    }
                )+
                ::core::option::Option::None
            }
        }

        #[cfg(target_arch = "wasm32")]
        $crate::__private::bindings::export_component!(__WeirComponent with_types_in $crate::__private::bindings);
    };
}

/// For tests of guest crates, which run outside Wasm.
pub mod testing {
    /// Sets what [`config`](crate::config) gives, once per process and before it is first asked for.
    ///
    /// # Panics
    /// When the configuration was set before.
    pub fn set_config(json: &str) {
        crate::config::set(json.to_owned()).expect("a configuration that was not set before");
    }
}

/// What the macros refer to. Not for use by hand: it may change in any version.
#[doc(hidden)]
pub mod __private {
    pub use crate::bindings;
    pub use crate::bindings::exports::weir::udf::flat_map::Mapped;
    pub use crate::bindings::exports::weir::udf::functions::Function as Description;
    pub use crate::bindings::weir::udf::types::{Batch, DataType, Field, RowError};
    pub use crate::build::{Pair, StructBuilder};
    pub use crate::column::{Bits, Cursor, StructColumn};
    pub use crate::component::Component;
    pub use crate::function::{
        Aggregate, FlatMap, Function, Groups, Instance, Outcome, Return, Scalar, Volatility, describe_aggregate,
        describe_flat_map, describe_scalar, evaluate, for_each_row, output,
    };
    pub use crate::value::{declare, row_batch};
}
