//! Quantiles of what the tasks of a stage measured.

use serde::{Deserialize, Serialize};

/// The quantiles of some numbers, one per task: each of them is one of the numbers (the nearest rank).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantiles {
    /// The smallest.
    pub p0: u64,
    /// A quarter are at most this.
    pub p25: u64,
    /// The median: half are at most this.
    pub p50: u64,
    /// Three quarters are at most this.
    pub p75: u64,
    /// All but a twentieth are at most this.
    pub p95: u64,
    /// The largest.
    pub p100: u64,
    /// The sum of all.
    pub sum: u64,
    /// The task that has the largest; the first one if several have.
    pub largest_task: u32,
}

impl Quantiles {
    /// The quantiles of numbers that come with the index of their task; zeros when there are none.
    pub fn of(numbers: impl IntoIterator<Item = (u32, u64)>) -> Self {
        let mut largest: Option<(u32, u64)> = None;
        let mut sum = 0_u64;
        let mut sorted: Vec<u64> = Vec::new();
        for (task, number) in numbers {
            if largest.is_none_or(|(_, known)| number > known) {
                largest = Some((task, number));
            }
            sum = sum.saturating_add(number);
            sorted.push(number);
        }
        let Some((largest_task, p100)) = largest else {
            return Self::default();
        };
        sorted.sort_unstable();
        // The smallest number that at least so many percent are at most.
        let at = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1];
        Self {
            p0: at(0),
            p25: at(25),
            p50: at(50),
            p75: at(75),
            p95: at(95),
            p100,
            sum,
            largest_task,
        }
    }

    /// How many times the median the largest is; absent when the median is zero.
    pub fn skew(&self) -> Option<f64> {
        (self.p50 > 0).then(|| self.p100 as f64 / self.p50 as f64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(numbers: &[u64]) -> Quantiles {
        Quantiles::of((0..).zip(numbers.iter().copied()))
    }

    #[test]
    fn each_quantile_is_one_of_the_numbers() {
        let hundred: Vec<u64> = (1..=100).rev().collect();
        let expected = Quantiles {
            p0: 1,
            p25: 25,
            p50: 50,
            p75: 75,
            p95: 95,
            p100: 100,
            sum: 5050,
            largest_task: 0,
        };
        assert_eq!(of(&hundred), expected);
        let two = of(&[3, 9]);
        assert_eq!((two.p0, two.p50, two.p75, two.largest_task), (3, 3, 9, 1));
        assert_eq!(of(&[]), Quantiles::default());
        assert_eq!((of(&[0, 7]).skew(), of(&[2, 5]).skew()), (None, Some(2.5)));
    }

    proptest! {
        #[test]
        fn so_many_numbers_are_at_most_a_quantile(numbers in prop::collection::vec(0_u64..1000, 1..300)) {
            let quantiles = of(&numbers);
            let ranks = [
                (0, quantiles.p0), (25, quantiles.p25), (50, quantiles.p50),
                (75, quantiles.p75), (95, quantiles.p95), (100, quantiles.p100),
            ];
            for (percent, value) in ranks {
                let at_most = numbers.iter().filter(|number| **number <= value).count();
                let less = numbers.iter().filter(|number| **number < value).count();
                prop_assert!(at_most * 100 >= percent * numbers.len());
                prop_assert!(percent == 0 || less * 100 < percent * numbers.len());
            }
            prop_assert_eq!(quantiles.sum, numbers.iter().sum::<u64>());
            prop_assert_eq!(numbers[quantiles.largest_task as usize], quantiles.p100);
        }
    }
}
