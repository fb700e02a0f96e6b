//! The functions that are measured, as ordinary functions. This file is compiled twice: into the component, and into
//! the measuring program, which calls them natively.

/// Two numbers in, hardly anything to compute: what is measured is how values get in and out.
pub(crate) fn add(a: i64, b: i64) -> i64 {
    a.wrapping_add(b)
}

/// The price of an order's line, as many reports have it.
pub(crate) fn charge(price: f64, discount: f64, tax: f64) -> f64 {
    price * (1.0 - discount) * (1.0 + tax)
}

/// A polynomial of degree 12 by Horner's rule: a chain of dependent additions and multiplications.
pub(crate) fn polynomial(x: f64) -> f64 {
    const COEFFICIENTS: [f64; 13] = [0.3, -1.7, 0.25, 2.5, -0.125, 1.1, -0.9, 0.01, 3.3, -2.2, 0.7, 0.05, 1.0];
    COEFFICIENTS
        .iter()
        .rev()
        .fold(0.0, |sum, coefficient| sum * x + coefficient)
}

/// The tax on an income in cents, by brackets: branches that depend on the data, and divisions.
pub(crate) fn tax(income: i64) -> i64 {
    const BRACKETS: [(i64, i64); 6] = [
        (6_000_000, 45),
        (2_700_000, 42),
        (1_700_000, 33),
        (1_100_000, 24),
        (900_000, 14),
        (0, 0),
    ];
    let mut tax = 0;
    let mut rest = income;
    for (from, percent) in BRACKETS {
        if rest > from {
            tax += (rest - from) * percent / 100;
            rest = from;
        }
    }
    tax
}

/// The host of a URL: what stands between `//` and the next `/`, without user and port.
pub(crate) fn url_host(url: &str) -> Option<&str> {
    let rest = url.split_once("//")?.1;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = host.split(':').next()?;
    (!host.is_empty()).then_some(host)
}

/// The longest runs of ASCII letters of a line, as in `examples/wordcount`.
pub(crate) fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_ascii_alphabetic())
        .filter(|word| !word.is_empty())
}
