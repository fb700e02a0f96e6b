//! The measured functions as a component.

use weir_guest::{Emitter, Row};

mod kernels;

/// See [`kernels::add`].
#[weir_guest::scalar]
fn add(a: i64, b: i64) -> i64 {
    kernels::add(a, b)
}

/// See [`kernels::charge`].
#[weir_guest::scalar]
fn charge(price: f64, discount: f64, tax: f64) -> f64 {
    kernels::charge(price, discount, tax)
}

/// See [`kernels::polynomial`].
#[weir_guest::scalar]
fn polynomial(x: f64) -> f64 {
    kernels::polynomial(x)
}

/// See [`kernels::tax`].
#[weir_guest::scalar]
fn tax(income: i64) -> i64 {
    kernels::tax(income)
}

/// Text in upper case.
#[weir_guest::scalar]
fn upper(text: &str) -> String {
    text.to_ascii_uppercase()
}

/// See [`kernels::url_host`].
#[weir_guest::scalar]
fn url_host(url: &str) -> Option<&str> {
    kernels::url_host(url)
}

#[derive(Row)]
struct Word<'a> {
    word: &'a str,
}

/// See [`kernels::words`].
#[weir_guest::flat_map]
fn words(line: &str, out: &mut Emitter<Word>) {
    kernels::words(line).for_each(|word| out.emit(Word { word }));
}

/// The words in lower case, which need a place of their own each.
#[weir_guest::flat_map]
fn lower_words(line: &str, out: &mut Emitter<Word>) {
    for word in kernels::words(line) {
        out.emit(Word {
            word: &word.to_ascii_lowercase(),
        });
    }
}

/// Takes eight columns, looks at one.
#[weir_guest::scalar]
#[allow(clippy::too_many_arguments)]
fn first_of_eight(a: i64, _b: i64, _c: i64, _d: i64, _e: f64, _f: f64, _g: f64, _h: f64) -> i64 {
    a
}

#[derive(Row)]
struct Eight {
    a: i64,
    b: i64,
    c: i64,
    d: i64,
    e: f64,
    f: f64,
    g: f64,
    h: f64,
}

/// Takes eight columns and gives them back.
#[weir_guest::flat_map]
#[allow(clippy::too_many_arguments)]
fn all_of_eight(a: i64, b: i64, c: i64, d: i64, e: f64, f: f64, g: f64, h: f64, out: &mut Emitter<Eight>) {
    out.emit(Eight { a, b, c, d, e, f, g, h });
}

weir_guest::export!(
    add,
    charge,
    polynomial,
    tax,
    upper,
    url_host,
    words,
    lower_words,
    first_of_eight,
    all_of_eight
);
