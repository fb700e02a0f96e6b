//! SQS takes the characters of XML 1.0 only. Text with others travels escaped, under an attribute that says so.

use std::borrow::Cow;

/// The attribute of an escaped body.
pub(super) const ATTRIBUTE: &str = "weir-escaped";

/// A body as SQS takes it, and whether it had to be changed: each other character, and each percent sign, is then a
/// percent sign and four hexadecimal digits.
pub(super) fn escape(body: &str) -> Cow<'_, str> {
    if body.chars().all(is_allowed) {
        return Cow::Borrowed(body);
    }
    let mut escaped = String::with_capacity(body.len() + 16);
    for character in body.chars() {
        if is_allowed(character) && character != '%' {
            escaped.push(character);
        } else {
            escaped.push_str(&format!("%{:04X}", u32::from(character)));
        }
    }
    Cow::Owned(escaped)
}

/// Undoes [`escape`]; what it cannot have made stays as it is.
pub(super) fn unescape(escaped: &str) -> String {
    let mut body = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = rest.find('%') {
        body.push_str(&rest[..at]);
        rest = &rest[at..];
        let digits = rest.get(1..5).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let (text, length) = match digits.and_then(char::from_u32) {
            Some(character) => (character, 5),
            None => ('%', 1),
        };
        body.push(text);
        rest = &rest[length..];
    }
    body.push_str(rest);
    body
}

fn is_allowed(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_text_is_left_alone() {
        let text = "100 % of {\"it\": \"ü🎈\"}\n";
        assert!(matches!(escape(text), Cow::Borrowed(same) if same == text));
    }

    #[test]
    fn what_was_never_escaped_stays_as_it_is() {
        for text in ["%", "50 %", "%12", "%zzzz", "%ü000", "%D800"] {
            assert_eq!(unescape(text), text);
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in "\\PC*", odd in prop::char::any(), at in any::<prop::sample::Index>()) {
            let mut characters: Vec<char> = text.chars().collect();
            characters.insert(at.index(characters.len() + 1), odd);
            characters.push('\u{1}');
            let text: String = characters.into_iter().collect();
            let escaped = escape(&text);
            prop_assert!(escaped.chars().all(is_allowed));
            prop_assert_eq!(unescape(&escaped), text);
        }
    }
}
