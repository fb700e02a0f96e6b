//! Chance, where many processes shall not do the same at the same time.

use std::time::Duration;

/// A duration between half of `usual` and one and a half times that.
pub(crate) fn around(usual: Duration) -> Duration {
    usual / 2 + usual.mul_f64(f64::from(below(1 << 20)) / f64::from(1 << 20))
}

/// Puts items into an order of chance.
pub(crate) fn shuffle<T>(items: &mut [T]) {
    for last in (1..items.len()).rev() {
        let other = below(u32::try_from(last + 1).unwrap_or(u32::MAX)) as usize;
        items.swap(last, other);
    }
}

/// A number below `limit`, which is not zero.
fn below(limit: u32) -> u32 {
    // Where the system has no source of randomness at the moment, nothing is spread; nothing else is lost.
    getrandom::u32().unwrap_or(0) % limit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_spread_around_the_usual_one() {
        let usual = Duration::from_millis(100);
        let waits: Vec<_> = (0..1_000).map(|_| around(usual)).collect();
        let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        assert!(*least >= usual / 2 && *least < usual * 7 / 10, "{least:?}");
        assert!(*most <= usual * 3 / 2 && *most > usual * 13 / 10, "{most:?}");
    }

    #[test]
    fn a_shuffle_keeps_everything_and_its_order_differs() {
        let sorted: Vec<u32> = (0..100).collect();
        let mut shuffled = sorted.clone();
        shuffle(&mut shuffled);
        assert_ne!(shuffled, sorted);
        shuffled.sort();
        assert_eq!(shuffled, sorted);
    }
}
