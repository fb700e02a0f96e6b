//! Columns as they come in: typed views of the buffers of a batch.

use crate::bindings::weir::udf::types::{Batch, Node};

/// Rows that are read and computed together: bounds are checked once for all of them.
pub(crate) const BLOCK: usize = 64;

/// The rows of a block that are there, or that no argument is null in: the least significant bit is the first.
pub(crate) type Mask = u64;

const _: () = assert!(Mask::BITS as usize == BLOCK);

/// A bitmap: the least significant bit of the first byte is row zero.
#[derive(Clone, Copy, Debug)]
pub struct Bits<'a>(&'a [u8]);

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8], length: usize) -> Result<Self, String> {
        let bytes = bytes.get(..length.div_ceil(8)).ok_or("a bitmap is too short")?;
        Ok(Self(bytes))
    }

    /// The bit of a row.
    #[inline]
    pub fn get(self, row: usize) -> bool {
        self.0[row / 8] >> (row % 8) & 1 == 1
    }

    /// The bits of the block of rows that starts with row `start`, a multiple of [`BLOCK`].
    #[inline]
    pub fn block(self, start: usize) -> Mask {
        let bytes = self.0[start / 8..].first_chunk();
        Mask::from_le_bytes(*bytes.expect("a block is within its column"))
    }
}

/// Goes through the nodes and buffers of a batch.
pub struct Cursor<'a> {
    nodes: std::slice::Iter<'a, Node>,
    buffers: std::slice::Iter<'a, Vec<u8>>,
}

impl<'a> Cursor<'a> {
    /// Starts with the first column.
    pub fn new(batch: &'a Batch) -> Self {
        Self {
            nodes: batch.nodes.iter(),
            buffers: batch.buffers.iter(),
        }
    }

    /// Length and validity of the next node. Without nulls there is no validity.
    pub fn node(&mut self) -> Result<(usize, Option<Bits<'a>>), String> {
        let node = self.nodes.next().ok_or("a node is missing")?;
        let length = node.length as usize;
        let validity = self.buffer()?;
        let validity = if node.null_count > 0 {
            Some(Bits::new(validity, length)?)
        } else {
            None
        };
        Ok((length, validity))
    }

    /// The next buffer.
    pub fn buffer(&mut self) -> Result<&'a [u8], String> {
        self.buffers
            .next()
            .map(Vec::as_slice)
            .ok_or_else(|| "a buffer is missing".to_owned())
    }

    /// The next buffer, as `length` values of `N` bytes. They need not be aligned.
    pub fn values<const N: usize>(&mut self, length: usize) -> Result<&'a [[u8; N]], String> {
        let (values, _) = self.buffer()?.as_chunks();
        values.get(..length).ok_or_else(|| "a buffer is too short".to_owned())
    }
}

/// Values of `N` bytes.
#[derive(Clone, Copy, Debug)]
pub struct FixedColumn<'a, const N: usize> {
    pub(crate) validity: Option<Bits<'a>>,
    pub(crate) values: &'a [[u8; N]],
}

/// The values of a block of rows.
pub(crate) type FixedBlock<'a, const N: usize> = &'a [[u8; N]; BLOCK];

impl<'a, const N: usize> FixedColumn<'a, N> {
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Self, String> {
        let (length, validity) = cursor.node()?;
        let values = cursor.values(length)?;
        Ok(Self { validity, values })
    }

    #[inline]
    pub(crate) fn block(&self, start: usize) -> FixedBlock<'a, N> {
        let values = self.values[start..].first_chunk();
        values.expect("a block is within its column")
    }
}

/// Booleans.
#[derive(Clone, Copy, Debug)]
pub struct BoolColumn<'a> {
    pub(crate) validity: Option<Bits<'a>>,
    pub(crate) values: Bits<'a>,
}

impl<'a> BoolColumn<'a> {
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Self, String> {
        let (length, validity) = cursor.node()?;
        let values = Bits::new(cursor.buffer()?, length)?;
        Ok(Self { validity, values })
    }
}

/// Where the values of a column of varying lengths start and end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offsets<'a>(&'a [[u8; 4]]);

impl<'a> Offsets<'a> {
    pub(crate) fn read(cursor: &mut Cursor<'a>, length: usize) -> Result<Self, String> {
        cursor.values(length + 1).map(Self)
    }

    #[inline]
    pub(crate) fn range(self, row: usize) -> std::ops::Range<usize> {
        let at = |row: usize| u32::from_le_bytes(self.0[row]) as usize;
        at(row)..at(row + 1)
    }
}

/// Text.
#[derive(Clone, Copy, Debug)]
pub struct TextColumn<'a> {
    pub(crate) validity: Option<Bits<'a>>,
    pub(crate) offsets: Offsets<'a>,
    text: &'a [u8],
}

impl<'a> TextColumn<'a> {
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Self, String> {
        let (length, validity) = cursor.node()?;
        let offsets = Offsets::read(cursor, length)?;
        let text = cursor.buffer()?;
        Ok(Self {
            validity,
            offsets,
            text,
        })
    }

    #[inline]
    pub(crate) fn get(&self, row: usize) -> &'a str {
        let value = &self.text[self.offsets.range(row)];
        // SAFETY: the contract says that every value is UTF-8, and the host, which a guest trusts as it does for
        // `string`, has it from arrays that were checked.
        unsafe { std::str::from_utf8_unchecked(value) }
    }
}

/// Bytes.
#[derive(Clone, Copy, Debug)]
pub struct BytesColumn<'a> {
    pub(crate) validity: Option<Bits<'a>>,
    pub(crate) offsets: Offsets<'a>,
    bytes: &'a [u8],
}

impl<'a> BytesColumn<'a> {
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Self, String> {
        let (length, validity) = cursor.node()?;
        let offsets = Offsets::read(cursor, length)?;
        let bytes = cursor.buffer()?;
        Ok(Self {
            validity,
            offsets,
            bytes,
        })
    }

    #[inline]
    pub(crate) fn get(&self, row: usize) -> &'a [u8] {
        &self.bytes[self.offsets.range(row)]
    }
}

/// Lists; `C` is the column of the items.
#[derive(Clone, Copy, Debug)]
pub struct ListColumn<'a, C> {
    pub(crate) validity: Option<Bits<'a>>,
    pub(crate) offsets: Offsets<'a>,
    pub(crate) items: C,
}

/// Structs; `C` is the tuple of the fields' columns.
#[derive(Clone, Copy, Debug)]
pub struct StructColumn<'a, C> {
    /// Which rows are there.
    pub validity: Option<Bits<'a>>,
    /// The fields.
    pub fields: C,
}
