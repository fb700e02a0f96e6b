//! Word count over a large text: `weir run` as a whole process, beside plain DataFusion and a hand-written loop in this
//! process, on the same file.
//!
//! ```sh
//! cargo build --release -p weir && cargo run --release -p weir-benches --bin wordcount -- [--megabytes 200] [--runs 3]
//! ```

use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::Int64Type;
use datafusion::prelude::{CsvReadOptions, SessionConfig, SessionContext};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Result<()> {
    let megabytes = weir_benches::argument("--megabytes", 200)?;
    let runs = weir_benches::argument("--runs", 3)?;
    let folder = weir_benches::data_folder("wordcount")?;
    let text = folder.join(format!("{megabytes}mb.txt"));
    if !text.exists() {
        write_text(&text, megabytes * 1_000_000)?;
    }

    let threads = std::thread::available_parallelism()?.get();
    println!("word count, {megabytes} MB, {threads} processors, median of {runs} runs");
    let (loop_time, expected) = median(runs, || count_by_loop(&text, threads))?;
    report("native loop, all processors", loop_time, loop_time);

    let mut times = Vec::new();
    for _ in 0..runs {
        let start = Instant::now();
        let counts = count_by_datafusion(&text).await?;
        times.push(start.elapsed());
        assert_eq!(counts, expected, "DataFusion counts differently");
    }
    times.sort();
    let datafusion = times[times.len() / 2];
    report("plain DataFusion, regular expression and unnest", datafusion, loop_time);

    let (weir, counts) = median(runs, || count_by_weir(&text, &folder))?;
    assert_eq!(counts, expected, "weir counts differently");
    report(
        "weir run, whole process, Wasm tokeniser, shuffle, files",
        weir,
        loop_time,
    );
    println!(
        "weir / plain DataFusion: {:.2}x",
        weir.as_secs_f64() / datafusion.as_secs_f64()
    );
    Ok(())
}

fn report(what: &str, time: Duration, base: Duration) {
    println!(
        "{:>8.3} s  {:>6.2}x  {what}",
        time.as_secs_f64(),
        time.as_secs_f64() / base.as_secs_f64()
    );
}

type Counts = HashMap<String, u64>;

fn median(runs: usize, mut run: impl FnMut() -> Result<Counts>) -> Result<(Duration, Counts)> {
    let mut times = Vec::new();
    let mut counts = Counts::new();
    for _ in 0..runs.max(1) {
        let start = Instant::now();
        counts = run()?;
        times.push(start.elapsed());
    }
    times.sort();
    Ok((times[times.len() / 2], counts))
}

/// Lines of about 80 bytes of words whose frequencies fall as in natural text (Zipf's law over 50,000 words).
fn write_text(path: &Path, bytes: usize) -> Result<()> {
    const WORDS: u64 = 50_000;
    let mut random = weir_benches::Random::new(7);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let (mut written, mut line) = (0, 0);
    while written < bytes {
        // The inverse of Zipf's distribution function, continuous: rank = WORDS^u.
        let rank = (WORDS as f64).powf(random.fraction()) as u64;
        let word = spell(rank);
        let end = if line > 72 { ".\n" } else { " " };
        write!(out, "{word}{end}")?;
        written += word.len() + end.len();
        line = if end == " " { line + word.len() + 1 } else { 0 };
    }
    out.flush()?;
    Ok(())
}

/// A word for a rank: frequent ones are short, some are capitalised.
fn spell(rank: u64) -> String {
    let mut word = String::new();
    let mut left = rank + 1;
    while left > 0 {
        word.push(char::from(b"etaoinshrdlucmfwypvbgk"[(left % 22) as usize]));
        left /= 22;
    }
    if rank.is_multiple_of(11) {
        word[..1].to_uppercase() + &word[1..]
    } else {
        word
    }
}

fn count_by_loop(path: &Path, threads: usize) -> Result<Counts> {
    let text = std::fs::read(path)?;
    let mut pieces = Vec::new();
    let mut start = 0;
    for piece in 1..=threads {
        let mut end = (text.len() * piece / threads).max(start);
        while end < text.len() && text[end].is_ascii_alphabetic() {
            end += 1;
        }
        pieces.push(&text[start..end]);
        start = end;
    }
    let counted: Vec<HashMap<Vec<u8>, u64>> = std::thread::scope(|scope| {
        let threads: Vec<_> = pieces
            .into_iter()
            .map(|piece| scope.spawn(|| count_piece(piece)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("counting does not panic"))
            .collect()
    });
    let mut counts = Counts::new();
    for (word, count) in counted.into_iter().flatten() {
        *counts.entry(String::from_utf8(word)?).or_default() += count;
    }
    Ok(counts)
}

fn count_piece(text: &[u8]) -> HashMap<Vec<u8>, u64> {
    let mut counts = HashMap::new();
    let mut lower = Vec::new();
    for word in text
        .split(|byte| !byte.is_ascii_alphabetic())
        .filter(|word| !word.is_empty())
    {
        lower.clear();
        lower.extend(word.iter().map(u8::to_ascii_lowercase));
        match counts.get_mut(&lower) {
            Some(count) => *count += 1,
            None => {
                counts.insert(lower.clone(), 1);
            }
        }
    }
    counts
}

async fn count_by_datafusion(path: &Path) -> Result<Counts> {
    let context = SessionContext::new_with_config(SessionConfig::new());
    // A delimiter that the text does not have makes one column of each line.
    let options = CsvReadOptions::new()
        .has_header(false)
        .delimiter(b'\x01')
        .file_extension("txt");
    context.register_csv("text", path.to_string_lossy(), options).await?;
    let query = "SELECT word, count(*) AS n FROM \
        (SELECT unnest(string_to_array(lower(regexp_replace(column_1, '[^A-Za-z]+', ' ', 'g')), ' ')) AS word FROM text) \
        WHERE word <> '' GROUP BY word";
    let mut counts = Counts::new();
    for batch in context.sql(query).await?.collect().await? {
        let words = datafusion::arrow::compute::cast(batch.column(0), &datafusion::arrow::datatypes::DataType::Utf8)?;
        let numbers = batch.column(1).as_primitive::<Int64Type>();
        for (word, count) in words.as_string::<i32>().iter().zip(numbers) {
            counts.insert(word.unwrap_or_default().to_owned(), count.unwrap_or_default() as u64);
        }
    }
    Ok(counts)
}

fn count_by_weir(text: &Path, folder: &Path) -> Result<Counts> {
    let out = folder.join("out");
    if out.exists() {
        std::fs::remove_dir_all(&out)?;
    }
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/wordcount/pipeline.yaml");
    let status = Command::new(weir()?)
        .arg("run")
        .arg(example)
        .arg("--param")
        .arg(format!("input={}", text.display()))
        .arg("--param")
        .arg(format!("output={}", out.join("counts").display()))
        .env("WEIR_DATA_DIR", folder.join("data"))
        .stdout(Stdio::null())
        .status()?;
    if !status.success() {
        return Err("weir run failed; run it by hand to see why".into());
    }
    let mut counts = Counts::new();
    for entry in std::fs::read_dir(&out)? {
        let path = entry?.path();
        if path.is_file() {
            for line in std::fs::read_to_string(path)?.lines().skip(1) {
                let (word, count) = line.split_once(',').ok_or("a line without a comma")?;
                counts.insert(word.to_owned(), count.parse()?);
            }
        }
    }
    Ok(counts)
}

/// The command, built beside this program.
fn weir() -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("weir");
    if path.exists() {
        Ok(path)
    } else {
        Err("build the command first: cargo build --release -p weir".into())
    }
}
