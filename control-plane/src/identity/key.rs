//! What an API key looks like.
//!
//! `weir_`, 30 random characters, and 6 that follow from them: a mistyped or cut key is refused without a look at the
//! database, and tools that search code for leaked secrets can tell a key from other words.

use std::fmt;

use weir_model::Digest;

const PREFIX: &str = "weir_";
/// 178 bits.
const RANDOM: usize = 30;
const CHECKSUM: usize = 6;
/// Characters that are kept and shown, so that people can tell their keys apart.
const SHOWN: usize = PREFIX.len() + 4;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// An API key as it is sent. Shown once, to whoever made it; stored nowhere but as a digest.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A key that nobody else has.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut text = PREFIX.to_owned();
        while text.len() < PREFIX.len() + RANDOM {
            let mut bytes = [0; 64];
            getrandom::fill(&mut bytes)?;
            // Those beyond the last whole round through the alphabet would favour its first letters.
            let fair = bytes.iter().filter(|byte| **byte < 248);
            let letters = fair.map(|byte| char::from(ALPHABET[usize::from(byte % 62)]));
            text.extend(letters.take(PREFIX.len() + RANDOM - text.len()));
        }
        let checksum = checksum(&text[PREFIX.len()..]);
        text.push_str(&checksum);
        Ok(Self(text))
    }

    /// The text as a key; `None` when it cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        let plain = rest.len() == RANDOM + CHECKSUM && rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !plain {
            return None;
        }
        let (random, given) = rest.split_at(RANDOM);
        (checksum(random) == given).then(|| Self(text.to_owned()))
    }

    /// What is stored of it.
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }

    /// Its first characters, by which people recognise it.
    pub fn prefix(&self) -> &str {
        &self.0[..SHOWN]
    }

    /// All of it, for whoever made it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", self.prefix())
    }
}

/// CRC-32 in base 62, which tells mistakes; it is no secret.
fn checksum(random: &str) -> String {
    let mut number = crc32fast::hash(random.as_bytes());
    let mut digits = [b'0'; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(number % 62) as usize];
        number /= 62;
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_every_mistake_in_one_is_found() {
        let (one, other) = (Secret::new().unwrap(), Secret::new().unwrap());
        assert_ne!(one, other);
        let text = one.reveal();
        assert_eq!((text.len(), Secret::parse(text)), (41, Some(one.clone())));
        for at in 0..text.len() {
            let mut wrong = text.to_owned();
            let replacement = if &text[at..=at] == "x" { "y" } else { "x" };
            wrong.replace_range(at..=at, replacement);
            assert_eq!(Secret::parse(&wrong), None, "{wrong}");
        }
        for wrong in ["", "weir_", &text[1..], &text[..40], &format!("{text}0"), "weir_é"] {
            assert_eq!(Secret::parse(wrong), None, "{wrong}");
        }
        assert!(!format!("{one:?}").contains(&text[10..]));
    }
}
