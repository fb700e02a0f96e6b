use weir_guest::__private::Function;
use weir_guest::{Emitter, Row};

use crate::support::{assert_same, batch, described, longs, texts};

#[derive(Row)]
struct Word<'a> {
    word: &'a str,
}

#[derive(Row)]
struct Rejected {
    line: String,
    length: i64,
}

/// Rows may be of any lifetime: of the line, or of something that is gone after the call.
#[weir_guest::flat_map]
fn words(line: &str, out: &mut Emitter<Word>, rejected: &mut Emitter<Rejected>) -> Result<(), &'static str> {
    for word in line.split(' ') {
        if word == "error" {
            return Err("an error");
        }
        if word.starts_with(char::is_uppercase) {
            out.emit(Word {
                word: &word.to_lowercase(),
            });
        } else {
            out.emit(Word { word });
        }
    }
    if line.len() > 5 {
        rejected.emit(Rejected {
            line: line.to_owned(),
            length: line.len() as i64,
        });
    }
    Ok(())
}

#[weir_guest::flat_map(volatile)]
fn nothing(_line: Option<&str>, out: &mut Emitter<Word<'_>>) {
    assert!(out.is_empty());
}

/// More columns than a tuple may have.
#[derive(Row)]
struct Wide {
    a: i64,
    b: i64,
    c: i64,
    d: i64,
    e: i64,
    f: i64,
    g: i64,
    h: i64,
    i: i64,
    j: i64,
    k: i64,
    l: i64,
    m: i64,
    n: Option<i64>,
}

#[weir_guest::flat_map]
fn wide(row: Wide, out: &mut Emitter<Wide>) {
    out.emit(row);
}

#[test]
fn the_first_output_is_main() {
    assert_eq!(
        described::<words>(),
        "words(line: utf8) -> main(word: utf8), rejected(line: utf8, length: int64)"
    );
    assert_eq!(described::<nothing>(), "nothing(line: utf8?) -> main(word: utf8)");
}

#[test]
fn rows_are_emitted_and_taken_back() {
    let lines = [Some("One two"), None, Some("a error"), Some("b")];
    let mapped = words::open().flat_map(&batch(4, [texts(&lines)])).unwrap();
    assert_eq!(mapped.errors.iter().map(|error| error.row).collect::<Vec<_>>(), [2]);
    assert_eq!(
        mapped.outputs.iter().map(|emitted| emitted.output).collect::<Vec<_>>(),
        [0, 1]
    );
    assert_same(
        &mapped.outputs[0].rows,
        &batch(3, [texts(&[Some("one"), Some("two"), Some("b")])]),
    );
    assert_same(
        &mapped.outputs[1].rows,
        &batch(1, [texts(&[Some("One two")]), longs(&[Some(7)])]),
    );
}

#[test]
fn outputs_without_rows_are_left_out() {
    let mapped = nothing::open().flat_map(&batch(1, [texts(&[Some("x")])])).unwrap();
    assert!(mapped.outputs.is_empty() && mapped.errors.is_empty());
}

#[test]
fn rows_may_be_wide() {
    let columns: Vec<_> = (0..14)
        .map(|column| longs(&[Some(column), Some(column * 100)]))
        .collect();
    let outer = crate::support::Column(vec![(2, 0)], vec![vec![]]);
    let input = batch(2, std::iter::once(outer).chain(columns.iter().cloned()));
    let mapped = wide::open().flat_map(&input).unwrap();
    assert_same(&mapped.outputs[0].rows, &batch(2, columns));
}
