//! A join one side of which is read whole by every task, and is larger than that is worth: what a run of it takes, and
//! whether it is found. Beside a test it would take too long and too much disk: about 2 GiB, in a temporary folder.
//!
//! ```sh
//! cargo build --release -p weir && cargo run --release -p weir-benches --bin broadcast -- [--gibibytes 1.07]
//! ```

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Rows of the file, each about a megabyte of text that no codec makes smaller by much.
const FILE: &str = "COPY (SELECT value / 12500 AS k, string_agg(encode(sha512(CAST(value AS VARCHAR)), 'base64'), '') AS t \
    FROM generate_series(0, 799999) GROUP BY 1) TO 'file.parquet' OPTIONS ('compression' 'uncompressed')";

/// Not a join of equal keys: so one side is not partitioned, but broadcast.
const JOIN: &str = "SELECT count(a.t) AS n FROM (SELECT k FROM t WHERE k < 8) b LEFT JOIN t a \
    ON starts_with(a.t, CAST(b.k AS VARCHAR))";

fn main() -> Result<()> {
    let gibibytes: f64 = weir_benches::argument("--gibibytes", 1.07)?;
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    weir(folder, &["sql", "--target-partitions", "1", FILE])?;
    let file = folder.join("file-00000-of-00001.parquet");
    // One file under many names is as much to read, and little disk.
    let names = (gibibytes * f64::from(1 << 30) / std::fs::metadata(&file)?.len() as f64).ceil() as u32;
    std::fs::create_dir(folder.join("t"))?;
    for name in 0..names {
        std::fs::hard_link(&file, folder.join(format!("t/{name}.parquet")))?;
    }
    let start = Instant::now();
    let join = [
        "sql",
        "--table",
        "t=t",
        "--slots",
        "1",
        "--target-partitions",
        "2",
        JOIN,
    ];
    weir(folder, &join)?;
    println!(
        "{gibibytes} GiB to each of two tasks: {:.1} s",
        start.elapsed().as_secs_f64()
    );
    println!("{}", weir(folder, &["runs", "get", "latest"])?);
    let found = weir(folder, &["runs", "diagnose", "latest"])?;
    println!("{found}");
    match (gibibytes > 1.0) == found.contains("[large_broadcast]") {
        true => Ok(()),
        false => Err("the findings do not say what was read".into()),
    }
}

/// Runs the command, built beside this program; gives what it printed.
fn weir(folder: &Path, arguments: &[&str]) -> Result<String> {
    let weir: PathBuf = std::env::current_exe()?.with_file_name("weir");
    if !weir.exists() {
        return Err("build the command first: cargo build --release -p weir".into());
    }
    let ran = Command::new(weir)
        .args(arguments)
        .current_dir(folder)
        .env("WEIR_DATA_DIR", folder.join("data"))
        .stderr(Stdio::inherit())
        .output()?;
    match ran.status.success() {
        true => Ok(String::from_utf8(ran.stdout)?),
        false => Err(format!("weir {arguments:?} failed").into()),
    }
}
