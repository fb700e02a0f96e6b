//! Lists to rows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::DataType;
use datafusion::common::exec_err;
use datafusion::error::Result;
use weir_model::{Failure, FailureKind};

use crate::task::OperatorError;

/// Walks over all combinations of the elements of lists, some rows at a time.
pub(super) struct Exploding {
    batch: RecordBatch,
    columns: Vec<usize>,
    lists: Vec<Lists>,
    cross_product: bool,
    batch_rows: usize,
    /// The row, and how many rows it has given.
    row: usize,
    given: usize,
}

/// The lists of a column: where each begins and ends among the values.
struct Lists {
    values: ArrayRef,
    ranges: Vec<(usize, usize)>,
}

impl Lists {
    fn new(array: &ArrayRef, name: &str) -> Result<Self> {
        if array.null_count() > 0 {
            let message = format!("`{name}` is null, so it has no elements to explode");
            return Err(OperatorError(Failure::new(FailureKind::User, "null_value", message)).into());
        }
        let ends = |offsets: Vec<usize>| offsets.windows(2).map(|pair| (pair[0], pair[1])).collect();
        Ok(match array.data_type() {
            DataType::List(_) => {
                let lists = array.as_list::<i32>();
                let offsets = lists.value_offsets().iter().map(|&offset| offset as usize).collect();
                Self {
                    values: Arc::clone(lists.values()),
                    ranges: ends(offsets),
                }
            }
            DataType::LargeList(_) => {
                let lists = array.as_list::<i64>();
                let offsets = lists.value_offsets().iter().map(|&offset| offset as usize).collect();
                Self {
                    values: Arc::clone(lists.values()),
                    ranges: ends(offsets),
                }
            }
            DataType::FixedSizeList(_, size) => {
                let size = *size as usize;
                let ranges = (0..array.len()).map(|row| (row * size, row * size + size)).collect();
                Self {
                    values: Arc::clone(array.as_fixed_size_list().values()),
                    ranges,
                }
            }
            other => return exec_err!("`{name}` is {other} and no list"),
        })
    }

    fn len(&self, row: usize) -> usize {
        self.ranges[row].1 - self.ranges[row].0
    }
}

impl Exploding {
    pub(super) fn new(batch: &RecordBatch, columns: &[usize], cross_product: bool, batch_rows: usize) -> Result<Self> {
        let schema = batch.schema();
        let lists = columns
            .iter()
            .map(|&column| Lists::new(batch.column(column), schema.field(column).name()));
        Ok(Self {
            batch: batch.clone(),
            columns: columns.to_vec(),
            lists: lists.collect::<Result<_>>()?,
            cross_product,
            batch_rows: batch_rows.max(1),
            row: 0,
            given: 0,
        })
    }

    /// How many rows a row becomes.
    fn becomes(&self, row: usize) -> usize {
        let lengths = self.lists.iter().map(|lists| lists.len(row));
        match self.cross_product {
            true => lengths.fold(1, usize::saturating_mul),
            false => lengths.max().unwrap_or(0),
        }
    }

    /// The elements of the lists in the `index`-th row that a row becomes; the last list turns fastest.
    fn elements(&self, row: usize, index: usize, out: &mut [Vec<Option<u64>>]) {
        let mut rest = index;
        for (lists, out) in self.lists.iter().zip(out).rev() {
            let (start, length) = (lists.ranges[row].0, lists.len(row));
            let element = if self.cross_product {
                let element = rest % length;
                rest /= length;
                Some(element)
            } else {
                Some(index).filter(|&index| index < length)
            };
            out.push(element.map(|element| (start + element) as u64));
        }
    }
}

impl Iterator for Exploding {
    type Item = Result<Vec<ArrayRef>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut rows = Vec::new();
        let mut elements = vec![Vec::new(); self.lists.len()];
        while rows.len() < self.batch_rows && self.row < self.batch.num_rows() {
            let count = self.becomes(self.row);
            while self.given < count && rows.len() < self.batch_rows {
                rows.push(self.row as u64);
                self.elements(self.row, self.given, &mut elements);
                self.given += 1;
            }
            if self.given >= count {
                (self.row, self.given) = (self.row + 1, 0);
            }
        }
        if rows.is_empty() {
            return None;
        }
        let rows = UInt64Array::from(rows);
        let elements: Vec<_> = elements.into_iter().map(UInt64Array::from).collect();
        let columns = self.batch.columns().iter().enumerate().map(|(index, column)| {
            match self.columns.iter().position(|&exploded| exploded == index) {
                Some(list) => Ok(take(&self.lists[list].values, &elements[list], None)?),
                None => Ok(take(column, &rows, None)?),
            }
        });
        Some(columns.collect())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, ListArray};
    use arrow::datatypes::Int64Type;
    use arrow::util::pretty::pretty_format_batches;

    use super::*;

    fn check(cross_product: bool, batch_rows: usize, expect: &[&str]) {
        let list = |lists: &[&[i64]]| {
            let lists = lists.iter().map(|list| Some(list.iter().copied().map(Some)));
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists)) as ArrayRef
        };
        let batch = RecordBatch::try_from_iter([
            ("id", Arc::new(Int64Array::from(vec![0, 1, 2])) as ArrayRef),
            ("l", list(&[&[9], &[1, 2], &[]])),
            ("m", list(&[&[8], &[3, 4, 5], &[6]])),
        ])
        .unwrap();
        // A slice, because offsets of lists do not begin at zero in one.
        let exploding = Exploding::new(&batch.slice(1, 2), &[1, 2], cross_product, batch_rows).unwrap();
        let batches = exploding.map(|columns| {
            let columns = columns.unwrap();
            assert!(columns[0].len() <= batch_rows);
            RecordBatch::try_from_iter_with_nullable(
                ["id", "l", "m"].into_iter().zip(columns).map(|(n, c)| (n, c, true)),
            )
            .unwrap()
        });
        let text = pretty_format_batches(&batches.collect::<Vec<_>>()).unwrap().to_string();
        let rows: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("| ") && !line.contains("id"))
            .collect();
        assert_eq!(rows, expect);
    }

    #[test]
    fn explode_by_position_fills_with_null() {
        for batch_rows in [1, 2, 100] {
            check(
                false,
                batch_rows,
                &["| 1  | 1 | 3 |", "| 1  | 2 | 4 |", "| 1  |   | 5 |", "| 2  |   | 6 |"],
            );
        }
    }

    #[test]
    fn explode_all_combinations() {
        for batch_rows in [1, 4, 100] {
            let expect = [
                "| 1  | 1 | 3 |",
                "| 1  | 1 | 4 |",
                "| 1  | 1 | 5 |",
                "| 1  | 2 | 3 |",
                "| 1  | 2 | 4 |",
                "| 1  | 2 | 5 |",
            ];
            check(true, batch_rows, &expect);
        }
    }
}
