use weir_guest::__private::Function;
use weir_guest::Row;

use crate::support::{assert_same, batch, described, longs};

#[derive(Row)]
struct Sums {
    sum: i64,
    weights: i64,
}

struct WeightedSum;

/// A sum.
#[weir_guest::aggregate]
impl WeightedSum {
    fn create() -> Sums {
        Sums { sum: 0, weights: 0 }
    }

    fn add(state: &mut Sums, value: i64, weight: Option<i64>) -> Result<(), String> {
        let weight = weight.unwrap_or(1);
        if weight < 0 {
            return Err("a weight is negative".to_owned());
        }
        state.sum += value * weight;
        state.weights += weight;
        Ok(())
    }

    fn merge(state: &mut Sums, other: &Sums) {
        state.sum += other.sum;
        state.weights += other.weights;
    }

    fn extract(state: &Sums) -> Option<i64> {
        (state.weights > 0).then_some(state.sum)
    }
}

struct Longest;

#[weir_guest::aggregate(name = "longest_text")]
impl Longest {
    fn create() -> Option<String> {
        None
    }

    fn add(longest: &mut Option<String>, text: &str) {
        if longest.as_ref().is_none_or(|longest| longest.len() < text.len()) {
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

#[test]
fn signatures_become_schemas() {
    assert_eq!(
        described::<WeightedSum>(),
        "weighted_sum(value: int64, weight: int64?) -> main(weighted_sum: int64?) \
         via (state: struct[sum: int64, weights: int64])"
    );
    assert_eq!(
        described::<Longest>(),
        "longest_text(text: utf8) -> main(longest_text: utf8?) via (state: utf8?)"
    );
    assert_eq!(WeightedSum::describe().docs, "A sum.");
}

#[test]
fn groups_are_kept_merged_and_taken_out() {
    let mut whole = WeightedSum::open();
    let rows = batch(
        4,
        [
            longs(&[Some(1), Some(2), None, Some(4)]),
            longs(&[None, Some(10), Some(1), Some(-1)]),
        ],
    );
    let refused = whole.update(&rows, &[0, 2, 0, 1], 4).unwrap();
    assert_eq!(refused.iter().map(|error| error.row).collect::<Vec<_>>(), [3]);

    let mut other = WeightedSum::open();
    other.update(&rows, &[1, 1, 1, 1], 2).unwrap();
    let states = other.state(None).unwrap();
    assert_eq!(states.rows, 2);
    whole.merge(&states, &[3, 0], 5).unwrap();

    let first = whole.evaluate(Some(1)).unwrap();
    assert_same(&first, &batch(1, [longs(&[Some(22)])]));
    let mut rest = whole.evaluate(None).unwrap();
    rest.buffers[0][0] &= 0b1111;
    rest.buffers[1]
        .chunks_mut(8)
        .enumerate()
        .filter(|(row, _)| *row != 1)
        .for_each(|(_, value)| {
            value.copy_from_slice(&(-1i64).to_le_bytes());
        });
    assert_same(&rest, &batch(4, [longs(&[None, Some(20), None, None])]));
    assert_eq!(whole.evaluate(None).unwrap().rows, 0);
}
