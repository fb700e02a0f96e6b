//! Named definitions of runs, and when they are made into runs.

mod cron;
mod due;
mod leadership;
pub(crate) mod scheduler;
mod template;
mod tidy;

pub use cron::{Cron, InvalidCron};
pub use template::{Defaults, Overrides, Template};

/// Bytes of the name of a pipeline or schedule.
const MAX_NAME: usize = 63;

/// What a schedule cannot be called, because its address is one of its own.
pub const RESERVED_SCHEDULE: &str = "preview";

/// Whether a text can name a pipeline or a schedule: 1 to 63 lower-case letters, digits, `-`, `_` and `.`, the first of
/// them a letter or a digit.
pub fn is_name(text: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.len() <= MAX_NAME
        && bytes.first().is_some_and(|first| valid(*first))
        && bytes.iter().all(|byte| valid(*byte) || b"-_.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_stand_in_addresses() {
        for name in ["a", "0", "daily-sums", "v1.2_x", &"n".repeat(63)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "-a", ".a", "A", "a b", "a/b", "ä", &"n".repeat(64)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
