//! What the measuring programs share. Each program says at its top how to run it; `README.md` has what they gave.

use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The value after `name` on the command line, or `default`.
pub fn argument<T: FromStr>(name: &str, default: T) -> Result<T, String> {
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == name {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            return value
                .parse()
                .map_err(|_| format!("`{value}` is not a value for {name}"));
        }
    }
    Ok(default)
}

/// Whether `name` is on the command line.
pub fn flag(name: &str) -> bool {
    std::env::args().skip(1).any(|argument| argument == name)
}

/// A folder for generated data that is kept between runs: `WEIR_BENCH_DATA`, or `weir-bench-data` beside this program.
pub fn data_folder(name: &str) -> std::io::Result<PathBuf> {
    let root = match std::env::var_os("WEIR_BENCH_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => std::env::current_exe()?
            .parent()
            .unwrap_or(Path::new("."))
            .join("weir-bench-data"),
    };
    let folder = root.join(name);
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The same numbers on every run (SplitMix64).
pub struct Random(u64);

impl Random {
    /// A generator whose numbers follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from zero to below one.
    pub fn fraction(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }
}
