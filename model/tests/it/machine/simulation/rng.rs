//! Where all that is random comes from.

/// SplitMix64: small, fast, and the same everywhere.
#[derive(Clone)]
pub(in crate::machine) struct Rng(u64);

impl Rng {
    pub(in crate::machine) fn new(seed: u64) -> Self {
        // Seeds that follow each other begin far apart.
        let mut rng = Self(seed ^ 0x5851_f42d_4c95_7f2d);
        rng.0 = rng.next();
        rng
    }

    pub(in crate::machine) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `below`, which is not zero.
    pub(in crate::machine) fn below(&mut self, below: u64) -> u64 {
        self.next() % below
    }

    /// A number from `low` to `high`, both included.
    pub(in crate::machine) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    pub(in crate::machine) fn permille(&mut self, chance: u64) -> bool {
        chance > 0 && self.below(1_000) < chance
    }

    pub(in crate::machine) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}
