//! Columns of numbers and words as bytes.
//!
//! A number is written as its difference to the one before, so that times, places and tasks that follow one another take
//! a byte or two; what comes of it is made to be compressed. Every column has a tag and a length: a reader passes over
//! columns that it does not know, and takes those that are not there for zeros.

use std::collections::HashMap;

/// The bytes are not columns that this build can read.
#[derive(Debug, thiserror::Error)]
pub enum InvalidColumns {
    /// They do not begin as columns do.
    #[error("this is not a page of columns")]
    Foreign,
    /// They are of a version that this build does not know.
    #[error("the page is of version {found}, and this build reads up to version {known}; use a newer weir")]
    Version {
        /// Theirs.
        found: u8,
        /// The latest that is known.
        known: u8,
    },
    /// They end early, or a value makes no sense.
    #[error("the page is damaged in its column {column}")]
    Damaged {
        /// The tag of the column; zero when it is the head of the page.
        column: u8,
    },
}

const MAGIC: &[u8; 4] = b"weir";
const VERSION: u8 = 1;
/// Rows of a page at most: more than is ever written, and few enough to make room for before they are read.
const MAX_ROWS: u64 = 1 << 20;

/// A page in the making.
pub(super) struct ColumnWriter {
    bytes: Vec<u8>,
    rows: usize,
}

impl ColumnWriter {
    pub(super) fn new(rows: usize) -> Self {
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        put(&mut bytes, rows as u64);
        Self { bytes, rows }
    }

    /// Adds a column with a value for every row.
    pub(super) fn numbers(&mut self, tag: u8, values: impl IntoIterator<Item = u64>) {
        let mut column = Vec::new();
        let (mut before, mut count) = (0_u64, 0);
        for value in values {
            put(&mut column, zigzag(value.wrapping_sub(before)));
            before = value;
            count += 1;
        }
        debug_assert_eq!(count, self.rows);
        self.column(tag, &column);
    }

    /// Adds a column of words, few of which are different: their list, and numbers that point into it.
    pub(super) fn words<'a>(&mut self, tag: u8, values: impl IntoIterator<Item = Option<&'a str>>) {
        let mut places: HashMap<&str, u64> = HashMap::new();
        let mut list = Vec::new();
        let mut points = Vec::new();
        for value in values {
            let place = value.map_or(0, |word| {
                let next = places.len() as u64 + 1;
                *places.entry(word).or_insert_with(|| {
                    put(&mut list, word.len() as u64);
                    list.extend_from_slice(word.as_bytes());
                    next
                })
            });
            put(&mut points, place);
        }
        let mut column = Vec::with_capacity(list.len() + points.len() + 4);
        put(&mut column, places.len() as u64);
        column.extend(list);
        column.extend(points);
        self.column(tag, &column);
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    fn column(&mut self, tag: u8, column: &[u8]) {
        self.bytes.push(tag);
        put(&mut self.bytes, column.len() as u64);
        self.bytes.extend_from_slice(column);
    }
}

/// The columns of a page.
pub(super) struct ColumnReader<'a> {
    rows: usize,
    columns: HashMap<u8, &'a [u8]>,
}

impl<'a> ColumnReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, InvalidColumns> {
        let bytes = bytes.strip_prefix(MAGIC).ok_or(InvalidColumns::Foreign)?;
        let (version, mut bytes) = bytes.split_first().ok_or(InvalidColumns::Foreign)?;
        if *version != VERSION {
            return Err(InvalidColumns::Version {
                found: *version,
                known: VERSION,
            });
        }
        let damaged = || InvalidColumns::Damaged { column: 0 };
        let rows = take(&mut bytes).filter(|rows| *rows <= MAX_ROWS).ok_or_else(damaged)? as usize;
        let mut columns = HashMap::new();
        while let Some((tag, rest)) = bytes.split_first() {
            bytes = rest;
            let length = take(&mut bytes).and_then(|length| usize::try_from(length).ok());
            let (column, rest) = length
                .and_then(|length| bytes.split_at_checked(length))
                .ok_or_else(damaged)?;
            columns.insert(*tag, column);
            bytes = rest;
        }
        Ok(Self { rows, columns })
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The values of a column; zeros when there is none.
    pub(super) fn numbers(&self, tag: u8) -> Result<Vec<u64>, InvalidColumns> {
        let damaged = InvalidColumns::Damaged { column: tag };
        let Some(mut bytes) = self.columns.get(&tag).copied() else {
            return Ok(vec![0; self.rows]);
        };
        let mut before = 0_u64;
        let values = (0..self.rows).map(|_| {
            before = before.wrapping_add(unzigzag(take(&mut bytes)?));
            Some(before)
        });
        let values: Option<Vec<u64>> = values.collect();
        values.filter(|_| bytes.is_empty()).ok_or(damaged)
    }

    /// The words of a column; none when there is no column.
    pub(super) fn words(&self, tag: u8) -> Result<Vec<Option<&'a str>>, InvalidColumns> {
        match self.columns.get(&tag) {
            None => Ok(vec![None; self.rows]),
            Some(bytes) => words(bytes, self.rows).ok_or(InvalidColumns::Damaged { column: tag }),
        }
    }
}

fn words(mut bytes: &[u8], rows: usize) -> Option<Vec<Option<&str>>> {
    let mut list = Vec::new();
    for _ in 0..take(&mut bytes)? {
        let length = usize::try_from(take(&mut bytes)?).ok()?;
        let (word, rest) = bytes.split_at_checked(length)?;
        list.push(std::str::from_utf8(word).ok()?);
        bytes = rest;
    }
    let word = |place: u64| match place.checked_sub(1) {
        None => Some(None),
        Some(place) => list.get(usize::try_from(place).ok()?).copied().map(Some),
    };
    let words: Option<Vec<_>> = (0..rows).map(|_| word(take(&mut bytes)?)).collect();
    words.filter(|_| bytes.is_empty())
}

/// Small differences of either sign as small numbers.
fn zigzag(difference: u64) -> u64 {
    let signed = difference as i64;
    ((signed << 1) ^ (signed >> 63)) as u64
}

fn unzigzag(number: u64) -> u64 {
    (number >> 1) ^ (number & 1).wrapping_neg()
}

/// Writes a number with seven bits to the byte.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_there_is_zero_and_what_is_unknown_is_passed_over() {
        let mut page = ColumnWriter::new(2);
        page.numbers(9, [5, u64::MAX]);
        page.words(7, [Some("a"), None]);
        let bytes = page.finish();
        let page = ColumnReader::new(&bytes).unwrap();
        assert_eq!(page.numbers(9).unwrap(), [5, u64::MAX]);
        assert_eq!(page.numbers(1).unwrap(), [0, 0]);
        assert_eq!(page.words(7).unwrap(), [Some("a"), None]);
        assert_eq!(page.words(2).unwrap(), [None, None]);
    }

    #[test]
    fn pages_of_others_are_refused() {
        assert!(matches!(
            ColumnReader::new(b"PAR1").err(),
            Some(InvalidColumns::Foreign)
        ));
        let newer = ColumnReader::new(b"weir\x02\x00").err();
        assert!(matches!(newer, Some(InvalidColumns::Version { found: 2, known: 1 })));
    }

    proptest! {
        #[test]
        fn numbers_and_words_survive(values in prop::collection::vec((any::<u64>(), prop::option::of("[a-z]{0,3}")), 0..200)) {
            let mut page = ColumnWriter::new(values.len());
            page.numbers(1, values.iter().map(|(number, _)| *number));
            page.words(2, values.iter().map(|(_, word)| word.as_deref()));
            let bytes = page.finish();
            let page = ColumnReader::new(&bytes).unwrap();
            prop_assert_eq!(page.numbers(1).unwrap(), values.iter().map(|(number, _)| *number).collect::<Vec<_>>());
            prop_assert_eq!(page.words(2).unwrap(), values.iter().map(|(_, word)| word.as_deref()).collect::<Vec<_>>());
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..100), cut in 0_usize..100) {
            let mut page = ColumnWriter::new(3);
            page.numbers(1, [1, 300, 2]);
            page.words(2, [Some("ab"), None, Some("ab")]);
            let mut whole = page.finish();
            for (at, byte) in bytes.iter().enumerate().take(2) {
                let place = (usize::from(*byte) + at) % whole.len();
                whole[place] ^= byte;
            }
            whole.truncate(cut);
            for bytes in [bytes, whole] {
                if let Ok(page) = ColumnReader::new(&bytes) {
                    let _ = (page.numbers(1), page.words(2));
                }
            }
        }
    }
}
