//! Names the build: a digest of the sources that give plans their form, so that builds which differ in them refuse
//! each other's plans even when their versions are the same.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// FNV-1a, 64 bits: stable between compilers, and nothing here is an attacker.
struct Hash(u64);

impl Hash {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let mut hash = Hash(0xcbf2_9ce4_8422_2325);
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files)?;
    files.sort();
    println!("cargo::rerun-if-changed=src");
    // The versions of DataFusion and Arrow; absent where the crate is built outside its workspace.
    let lock = Path::new("../Cargo.lock");
    if lock.exists() {
        println!("cargo::rerun-if-changed=../Cargo.lock");
        files.push(lock.to_owned());
    }
    for file in files {
        hash.add(file.to_string_lossy().as_bytes());
        hash.add(&fs::read(&file)?);
    }
    println!(
        "cargo::rustc-env=WEIR_BUILD={}+{:016x}",
        env!("CARGO_PKG_VERSION"),
        hash.0
    );
    Ok(())
}
