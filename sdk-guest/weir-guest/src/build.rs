//! Columns as they go out: builders that fill the buffers of a batch.

use std::mem::MaybeUninit;

use crate::bindings::weir::udf::types::{Batch, Node};
use crate::column::{BLOCK, Mask};

/// A column under construction.
pub trait Build: Default {
    /// Rows so far.
    fn len(&self) -> usize;
    /// Makes room for more rows.
    fn reserve(&mut self, rows: usize);
    /// Adds a null.
    fn push_null(&mut self);
    /// Forgets the rows from `rows` on.
    fn truncate(&mut self, rows: usize);
    /// Adds nodes and buffers to a batch.
    fn finish(self, batch: &mut Batch);
}

/// An empty batch of `rows` rows.
pub(crate) fn batch(rows: usize) -> Batch {
    Batch {
        rows: u32::try_from(rows).expect("a batch has less than 2^32 rows"),
        nodes: Vec::new(),
        buffers: Vec::new(),
    }
}

/// Which rows are there. There are no bits until the first null.
#[derive(Debug, Default)]
pub(crate) struct Validity {
    bits: Vec<u8>,
    nulls: usize,
}

impl Validity {
    /// Row `row`, the next one, is there.
    #[inline]
    pub(crate) fn push_valid(&mut self, row: usize) {
        if self.nulls > 0 {
            self.push(row, true);
        }
    }

    /// Row `row`, the next one, is null.
    #[inline]
    pub(crate) fn push_null(&mut self, row: usize) {
        if self.nulls == 0 {
            self.bits = vec![0xff; row.div_ceil(8)];
        }
        self.nulls += 1;
        self.push(row, false);
    }

    /// Adds the block of rows that starts with row `row`, the next one; rows that are not in `present` are null.
    #[inline]
    pub(crate) fn push_block(&mut self, row: usize, present: Mask) {
        if self.nulls == 0 && present == Mask::MAX {
            return;
        }
        if !row.is_multiple_of(8) {
            for i in 0..BLOCK {
                if present >> i & 1 == 1 {
                    self.push_valid(row + i);
                } else {
                    self.push_null(row + i);
                }
            }
            return;
        }
        if self.nulls == 0 {
            self.bits = vec![0xff; row / 8];
        }
        self.nulls += present.count_zeros() as usize;
        self.bits.extend_from_slice(&present.to_le_bytes());
    }

    #[inline]
    fn push(&mut self, row: usize, valid: bool) {
        if row / 8 == self.bits.len() {
            self.bits.push(0);
        }
        let mask = 1 << (row % 8);
        if valid {
            self.bits[row / 8] |= mask;
        } else {
            self.bits[row / 8] &= !mask;
        }
    }

    fn truncate(&mut self, rows: usize, length: usize) {
        if self.nulls > 0 {
            let is_null = |row: &usize| self.bits[row / 8] >> (row % 8) & 1 == 0;
            self.nulls -= (rows..length).filter(is_null).count();
            self.bits.truncate(rows.div_ceil(8));
            if self.nulls == 0 {
                self.bits.clear();
            }
        }
    }

    fn finish(self, length: usize, batch: &mut Batch) {
        batch.nodes.push(Node {
            length: length as u32,
            null_count: self.nulls as u32,
        });
        batch.buffers.push(self.bits);
    }
}

/// Writes the values of a block.
#[inline]
fn fill<const N: usize>(block: &mut [MaybeUninit<[u8; N]>; BLOCK], mut value: impl FnMut(usize) -> [u8; N]) {
    /// Rows between two looks at the host's clock: each turn of a loop costs one, and a short loop is unrolled.
    const UNROLLED: usize = 8;
    for (turn, slots) in block.as_chunks_mut::<UNROLLED>().0.iter_mut().enumerate() {
        // All of them are computed before the first is written: only then does the compiler use vectors.
        let values: [[u8; N]; UNROLLED] = std::array::from_fn(|i| value(turn * UNROLLED + i));
        *slots = values.map(MaybeUninit::new);
    }
}

/// Values of `N` bytes.
#[derive(Debug, Default)]
pub struct FixedBuilder<const N: usize> {
    values: Vec<[u8; N]>,
    validity: Validity,
}

impl<const N: usize> FixedBuilder<N> {
    #[inline]
    pub(crate) fn push(&mut self, value: [u8; N]) {
        self.validity.push_valid(self.values.len());
        self.values.push(value);
    }

    /// Adds a block of rows: `value` has those in `present`, the others are null.
    #[inline]
    pub(crate) fn extend(&mut self, present: Mask, mut value: impl FnMut(usize) -> [u8; N]) {
        let length = self.values.len();
        self.validity.push_block(length, present);
        self.values.reserve(BLOCK);
        let Some(block) = self.values.spare_capacity_mut().first_chunk_mut::<BLOCK>() else {
            unreachable!("there is room for a block")
        };
        if present == Mask::MAX {
            fill(block, value);
        } else {
            fill(block, |i| if present >> i & 1 == 1 { value(i) } else { [0; N] });
        }
        // SAFETY: the next `BLOCK` values were written just now.
        unsafe { self.values.set_len(length + BLOCK) };
    }
}

impl<const N: usize> Build for FixedBuilder<N> {
    fn len(&self) -> usize {
        self.values.len()
    }

    fn reserve(&mut self, rows: usize) {
        self.values.reserve(rows);
    }

    fn push_null(&mut self) {
        self.validity.push_null(self.values.len());
        self.values.push([0; N]);
    }

    fn truncate(&mut self, rows: usize) {
        self.validity.truncate(rows, self.values.len());
        self.values.truncate(rows);
    }

    fn finish(self, batch: &mut Batch) {
        self.validity.finish(self.values.len(), batch);
        batch.buffers.push(self.values.into_flattened());
    }
}

/// Booleans.
#[derive(Debug, Default)]
pub struct BoolBuilder {
    bits: Vec<u8>,
    length: usize,
    validity: Validity,
}

impl BoolBuilder {
    #[inline]
    pub(crate) fn push(&mut self, value: bool) {
        self.validity.push_valid(self.length);
        self.push_bit(value);
    }

    #[inline]
    fn push_bit(&mut self, value: bool) {
        if self.length.is_multiple_of(8) {
            self.bits.push(0);
        }
        let last = self.bits.len() - 1;
        self.bits[last] |= u8::from(value) << (self.length % 8);
        self.length += 1;
    }

    /// Adds a block of rows: `value` has those in `present`, the others are null.
    #[inline]
    pub(crate) fn extend(&mut self, present: Mask, mut value: impl FnMut(usize) -> bool) {
        self.validity.push_block(self.length, present);
        let bits = (0..BLOCK).fold(0, |bits: Mask, i| {
            bits | Mask::from(present >> i & 1 == 1 && value(i)) << i
        });
        if self.length.is_multiple_of(8) {
            self.bits.extend_from_slice(&bits.to_le_bytes());
            self.length += BLOCK;
        } else {
            (0..BLOCK).for_each(|i| self.push_bit(bits >> i & 1 == 1));
        }
    }
}

impl Build for BoolBuilder {
    fn len(&self) -> usize {
        self.length
    }

    fn reserve(&mut self, rows: usize) {
        self.bits.reserve(rows.div_ceil(8));
    }

    fn push_null(&mut self) {
        self.validity.push_null(self.length);
        self.push_bit(false);
    }

    fn truncate(&mut self, rows: usize) {
        if rows < self.length {
            self.validity.truncate(rows, self.length);
            self.bits.truncate(rows.div_ceil(8));
            if !rows.is_multiple_of(8) {
                let last = self.bits.len() - 1;
                self.bits[last] &= (1 << (rows % 8)) - 1;
            }
            self.length = rows;
        }
    }

    fn finish(self, batch: &mut Batch) {
        self.validity.finish(self.length, batch);
        batch.buffers.push(self.bits);
    }
}

/// Where values of varying lengths end; the first offset, zero, is added at the end.
#[derive(Debug, Default)]
struct Ends(Vec<[u8; 4]>);

impl Ends {
    #[inline]
    fn push(&mut self, end: usize) {
        let end = i32::try_from(end).expect("a column of one batch holds less than 2 GiB");
        if self.0.is_empty() {
            self.0.push([0; 4]);
        }
        self.0.push(end.to_le_bytes());
    }

    fn len(&self) -> usize {
        self.0.len().saturating_sub(1)
    }

    fn truncate(&mut self, rows: usize) -> usize {
        self.0.truncate(rows + 1);
        self.0.last().map_or(0, |end| u32::from_le_bytes(*end) as usize)
    }

    fn finish(mut self, batch: &mut Batch) {
        if self.0.is_empty() {
            self.0.push([0; 4]);
        }
        batch.buffers.push(self.0.into_flattened());
    }
}

/// Text or bytes.
#[derive(Debug, Default)]
pub struct BytesBuilder {
    ends: Ends,
    data: Vec<u8>,
    validity: Validity,
}

impl BytesBuilder {
    #[inline]
    pub(crate) fn push(&mut self, value: &[u8]) {
        self.validity.push_valid(self.ends.len());
        append(&mut self.data, value);
        self.ends.push(self.data.len());
    }
}

/// As `extend_from_slice`, without a call where values are short: copying a length that is not known is a call of the
/// host.
#[inline]
fn append(data: &mut Vec<u8>, value: &[u8]) {
    const SHORT: usize = 32;
    data.reserve(value.len().max(SHORT));
    let room = data.spare_capacity_mut();
    // First and last bytes, which overlap unless there are twice as many.
    macro_rules! ends {
        ($bytes:literal) => {
            if let (Some(first), Some(last)) = (value.first_chunk::<$bytes>(), value.last_chunk::<$bytes>()) {
                let room = &mut room[..value.len()];
                if let Some(room) = room.first_chunk_mut() {
                    *room = first.map(MaybeUninit::new);
                }
                if let Some(room) = room.last_chunk_mut() {
                    *room = last.map(MaybeUninit::new);
                }
            }
        };
    }
    match value.len() {
        0 => {}
        1..4 => {
            for (to, from) in room.iter_mut().zip(value) {
                to.write(*from);
            }
        }
        4..8 => ends!(4),
        8..16 => ends!(8),
        16..=SHORT => ends!(16),
        _ => return data.extend_from_slice(value),
    }
    // SAFETY: every byte of the value was written just now.
    unsafe { data.set_len(data.len() + value.len()) };
}

impl Build for BytesBuilder {
    fn len(&self) -> usize {
        self.ends.len()
    }

    fn reserve(&mut self, rows: usize) {
        self.ends.0.reserve(rows + 1);
    }

    fn push_null(&mut self) {
        self.validity.push_null(self.ends.len());
        self.ends.push(self.data.len());
    }

    fn truncate(&mut self, rows: usize) {
        self.validity.truncate(rows, self.ends.len());
        let end = self.ends.truncate(rows);
        self.data.truncate(end);
    }

    fn finish(self, batch: &mut Batch) {
        self.validity.finish(self.ends.len(), batch);
        self.ends.finish(batch);
        batch.buffers.push(self.data);
    }
}

/// Lists; `B` builds the items.
#[derive(Debug, Default)]
pub struct ListBuilder<B> {
    ends: Ends,
    items: B,
    validity: Validity,
}

impl<B: Build> ListBuilder<B> {
    /// Adds a list whose items `push` adds.
    pub(crate) fn push(&mut self, push: impl FnOnce(&mut B)) {
        self.validity.push_valid(self.ends.len());
        push(&mut self.items);
        self.ends.push(self.items.len());
    }
}

impl<B: Build> Build for ListBuilder<B> {
    fn len(&self) -> usize {
        self.ends.len()
    }

    fn reserve(&mut self, rows: usize) {
        self.ends.0.reserve(rows + 1);
    }

    fn push_null(&mut self) {
        self.validity.push_null(self.ends.len());
        self.ends.push(self.items.len());
    }

    fn truncate(&mut self, rows: usize) {
        self.validity.truncate(rows, self.ends.len());
        let end = self.ends.truncate(rows);
        self.items.truncate(end);
    }

    fn finish(self, batch: &mut Batch) {
        self.validity.finish(self.ends.len(), batch);
        self.ends.finish(batch);
        self.items.finish(batch);
    }
}

/// Structs; `F` is the tuple of the fields' builders.
#[derive(Debug, Default)]
pub struct StructBuilder<F> {
    /// The fields.
    pub fields: F,
    length: usize,
    validity: Validity,
}

impl<F> StructBuilder<F> {
    /// The fields of the next row have been added.
    #[inline]
    pub fn pushed(&mut self) {
        self.validity.push_valid(self.length);
        self.length += 1;
    }
}

/// The builders of several columns side by side.
pub trait BuildFields: Default {
    /// See [`Build::reserve`].
    fn reserve(&mut self, rows: usize);
    /// See [`Build::push_null`].
    fn push_null(&mut self);
    /// See [`Build::truncate`].
    fn truncate(&mut self, rows: usize);
    /// See [`Build::finish`].
    fn finish(self, batch: &mut Batch);
}

impl<F: BuildFields> StructBuilder<F> {
    /// Makes the fields the columns of a batch.
    pub(crate) fn into_batch(self) -> Batch {
        let mut batch = batch(self.length);
        self.fields.finish(&mut batch);
        batch
    }
}

impl<F: BuildFields> Build for StructBuilder<F> {
    fn len(&self) -> usize {
        self.length
    }

    fn reserve(&mut self, rows: usize) {
        self.fields.reserve(rows);
    }

    fn push_null(&mut self) {
        self.validity.push_null(self.length);
        self.fields.push_null();
        self.length += 1;
    }

    fn truncate(&mut self, rows: usize) {
        self.validity.truncate(rows, self.length);
        self.fields.truncate(rows);
        self.length = self.length.min(rows);
    }

    fn finish(self, batch: &mut Batch) {
        self.validity.finish(self.length, batch);
        self.fields.finish(batch);
    }
}

macro_rules! build_tuples {
    ($($name:ident)*) => {
        #[allow(non_snake_case)]
        impl<$($name: Build),*> BuildFields for ($($name,)*) {
            fn reserve(&mut self, rows: usize) {
                let ($($name,)*) = self;
                $($name.reserve(rows);)*
            }

            fn push_null(&mut self) {
                let ($($name,)*) = self;
                $($name.push_null();)*
            }

            fn truncate(&mut self, rows: usize) {
                let ($($name,)*) = self;
                $($name.truncate(rows);)*
            }

            fn finish(self, batch: &mut Batch) {
                let ($($name,)*) = self;
                $($name.finish(batch);)*
            }
        }
    };
}

build_tuples!(A);
build_tuples!(A B);
build_tuples!(A B C);
build_tuples!(A B C D);
build_tuples!(A B C D E);
build_tuples!(A B C D E F);
build_tuples!(A B C D E F G);
build_tuples!(A B C D E F G H);
build_tuples!(A B C D E F G H I);
build_tuples!(A B C D E F G H I J);
build_tuples!(A B C D E F G H I J K);
build_tuples!(A B C D E F G H I J K L);

/// More columns than a tuple may have.
#[derive(Debug, Default)]
pub struct Pair<A, B>(pub A, pub B);

impl<A: BuildFields, B: BuildFields> BuildFields for Pair<A, B> {
    fn reserve(&mut self, rows: usize) {
        self.0.reserve(rows);
        self.1.reserve(rows);
    }

    fn push_null(&mut self) {
        self.0.push_null();
        self.1.push_null();
    }

    fn truncate(&mut self, rows: usize) {
        self.0.truncate(rows);
        self.1.truncate(rows);
    }

    fn finish(self, batch: &mut Batch) {
        self.0.finish(batch);
        self.1.finish(batch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(builder: impl Build) -> (Vec<(u32, u32)>, Vec<Vec<u8>>) {
        let mut batch = batch(0);
        builder.finish(&mut batch);
        (
            batch.nodes.iter().map(|node| (node.length, node.null_count)).collect(),
            batch.buffers,
        )
    }

    #[test]
    fn validity_starts_with_the_first_null() {
        let mut builder = FixedBuilder::<1>::default();
        for row in 0..20 {
            if row == 9 || row == 16 {
                builder.push_null();
            } else {
                builder.push([row]);
            }
        }
        let (nodes, buffers) = finished(builder);
        assert_eq!(nodes, [(20, 2)]);
        assert_eq!(buffers[0][..2], [0xff, 0b1111_1101]);
        assert_eq!(buffers[0][2] & 0b1111, 0b1110);
        assert_eq!(buffers[1].len(), 20);
    }

    #[test]
    fn truncation_forgets_values_and_nulls() {
        let mut builder = BytesBuilder::default();
        builder.push(b"ab");
        builder.push_null();
        builder.push(b"c");
        builder.truncate(1);
        assert_eq!(builder.len(), 1);
        builder.push(b"de");
        let (nodes, buffers) = finished(builder);
        assert_eq!(nodes, [(2, 0)]);
        assert!(buffers[0].is_empty());
        assert_eq!(buffers[2], b"abde");

        let mut bools = BoolBuilder::default();
        (0..11).for_each(|_| bools.push(true));
        bools.push_null();
        bools.truncate(9);
        bools.push(false);
        assert_eq!(finished(bools), (vec![(10, 0)], vec![vec![], vec![0xff, 0b01]]));

        let mut lists = ListBuilder::<FixedBuilder<1>>::default();
        lists.push(|items| items.push([1]));
        lists.push(|items| items.push([2]));
        lists.truncate(1);
        lists.push(|_| {});
        let (nodes, buffers) = finished(lists);
        assert_eq!(nodes, [(2, 0), (1, 0)]);
        assert_eq!(buffers[1], [0i32, 1, 1].map(i32::to_le_bytes).concat());
        assert_eq!(buffers[3], [1]);
    }

    #[test]
    fn blocks_are_rows_one_by_one() {
        let masks = [Mask::MAX, 0b1011, Mask::MAX, 0, 1 << (BLOCK - 1)];
        // The first block may start within a byte of the bitmaps.
        for before in [0, 3, 8] {
            let (mut values, mut bools) = (FixedBuilder::<4>::default(), BoolBuilder::default());
            let (mut expected_values, mut expected_bools) = (FixedBuilder::<4>::default(), BoolBuilder::default());
            for _ in 0..before {
                values.push([7; 4]);
                expected_values.push([7; 4]);
                bools.push(true);
                expected_bools.push(true);
            }
            for present in masks {
                values.extend(present, |i| [i as u8; 4]);
                bools.extend(present, |i| i % 3 == 0);
                for i in 0..BLOCK {
                    if present >> i & 1 == 1 {
                        expected_values.push([i as u8; 4]);
                        expected_bools.push(i % 3 == 0);
                    } else {
                        expected_values.push_null();
                        expected_bools.push_null();
                    }
                }
            }
            assert_eq!(finished(values), finished(expected_values));
            assert_eq!(finished(bools), finished(expected_bools));
        }
    }

    #[test]
    fn values_of_all_lengths_are_appended() {
        let text: Vec<u8> = (0..100).collect();
        let mut data = Vec::new();
        let mut expected = Vec::new();
        for length in 0..text.len() {
            append(&mut data, &text[..length]);
            expected.extend_from_slice(&text[..length]);
            assert_eq!(data, expected);
        }
    }

    #[test]
    fn empty_columns_have_one_offset() {
        let (_, buffers) = finished(BytesBuilder::default());
        assert_eq!(buffers[1], [0; 4]);
    }
}
