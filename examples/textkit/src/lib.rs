//! Functions over text, for SQL and for the fields of pipelines.

/// A text as part of an address: its letters and digits of ASCII in lower case, with one hyphen for whatever is between
/// them.
#[weir_guest::scalar]
fn slug(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join("-").to_ascii_lowercase()
}

/// How many characters must be added, taken away or replaced to make one text the other.
///
/// Refuses texts of more than 10,000 characters.
#[weir_guest::scalar]
fn edit_distance(a: &str, b: &str) -> Result<i64, &'static str> {
    const LONGEST: usize = 10_000;
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().max(b.len()) > LONGEST {
        return Err("a text has more than 10,000 characters");
    }
    // The distances of what was read of `a` to each beginning of `b`.
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (read, one) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = read + 1;
        for (index, other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(one != other);
            diagonal = row[index + 1];
            row[index + 1] = replaced.min(diagonal + 1).min(row[index] + 1);
        }
    }
    Ok(row[b.len()] as i64)
}

/// The longest text by characters; of several, the first in the order of the alphabet.
struct Longest;

#[weir_guest::aggregate]
impl Longest {
    fn create() -> Option<String> {
        None
    }

    fn add(longest: &mut Option<String>, text: &str) {
        if longest.as_deref().is_none_or(|longest| is_before(text, longest)) {
            *longest = Some(text.to_owned());
        }
    }

    fn merge(longest: &mut Option<String>, other: Option<String>) {
        if let Some(other) = other {
            Self::add(longest, &other);
        }
    }

    fn extract(longest: Option<String>) -> Option<String> {
        longest
    }
}

/// Whether `text` is the longest rather than `other`.
fn is_before(text: &str, other: &str) -> bool {
    let (length, other_length) = (text.chars().count(), other.chars().count());
    length > other_length || (length == other_length && text < other)
}

weir_guest::export!(slug, edit_distance, Longest);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_texts_as_long_the_first_is_longest() {
        assert!(is_before("abc", "ab"));
        assert!(is_before("abc", "abd"));
        assert!(!is_before("abc", "abc"));
        assert!(is_before("日本語", "zz"));
    }
}
