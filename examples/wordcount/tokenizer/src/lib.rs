//! Splits text into words.

use weir_guest::{Emitter, Row, counter};

#[derive(Row)]
struct Word<'a> {
    word: &'a str,
}

/// The words of a line: its longest runs of ASCII letters, in lower case. Everything else separates words, the bytes of
/// other characters included, so that the words are those of `tr -cs A-Za-z '\n' | tr A-Z a-z` in the C locale.
#[weir_guest::flat_map]
fn tokenize(line: &str, out: &mut Emitter<Word>) {
    let line = line.to_ascii_lowercase();
    let before = out.len();
    for word in words(&line) {
        out.emit(Word { word });
    }
    counter!("words", (out.len() - before) as i64);
}

/// The runs of lower-case ASCII letters.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_ascii_lowercase())
        .filter(|word| !word.is_empty())
}

weir_guest::export!(tokenize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_of_letters() {
        let words = |line| words(line).collect::<Vec<_>>();
        assert_eq!(
            words("don't: na\u{ef}ve caf\u{e9}\u{2014}x2y"),
            ["don", "t", "na", "ve", "caf", "x", "y"]
        );
        assert_eq!(words("  one  "), ["one"]);
        assert!(words("").is_empty());
        assert!(words(" 1984, 語 ").is_empty());
    }
}
