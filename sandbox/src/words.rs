//! What guests say, made fit for people: their words end up in terminals, logs and pages.

use std::borrow::Cow;

/// Bytes of one message of a guest that are passed on.
pub(crate) const MAX_MESSAGE: usize = 4 << 10;

/// The text without characters that a terminal obeys, and not longer than [`MAX_MESSAGE`].
pub(crate) fn presentable(text: &str) -> Cow<'_, str> {
    let end = text.floor_char_boundary(MAX_MESSAGE);
    let cut = &text[..end];
    if !cut.contains(is_control) && end == text.len() {
        return Cow::Borrowed(cut);
    }
    let mut shown = cut.replace("\r\n", "\n").replace(is_control, "\u{fffd}");
    if end < text.len() {
        shown.push('…');
    }
    Cow::Owned(shown)
}

fn is_control(c: char) -> bool {
    c.is_control() && c != '\n' && c != '\t'
}

/// A name within a message: as [`presentable`], in one short line.
pub(crate) fn name(text: &str) -> String {
    const MAX: usize = 64;
    let end = text.floor_char_boundary(MAX);
    let shown = text[..end].replace(char::is_control, "\u{fffd}");
    if end < text.len() { shown + "…" } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_is_left_alone() {
        for text in ["", "one\ntwo\tthree", "naïve 語"] {
            assert!(
                matches!(presentable(text), Cow::Borrowed(shown) if shown == text),
                "{text}"
            );
            assert_eq!(name("naïve"), "naïve");
        }
    }

    #[test]
    fn control_characters_become_visible() {
        assert_eq!(
            presentable("a\u{1b}[2Jb\u{0}\u{9b}\r\nc"),
            "a\u{fffd}[2Jb\u{fffd}\u{fffd}\nc"
        );
        assert_eq!(name("a\nb"), "a\u{fffd}b");
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        let shown = presentable(&"é".repeat(MAX_MESSAGE)).into_owned();
        assert_eq!(shown, "é".repeat(MAX_MESSAGE / 2) + "…");
        assert_eq!(name(&"é".repeat(100)), "é".repeat(32) + "…");
    }
}
