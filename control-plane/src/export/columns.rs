//! All attempts of a run as columns: for the script of the page, and for whatever program reads the file.

use std::collections::HashMap;

use base64::engine::general_purpose::STANDARD;
use base64::write::EncoderStringWriter;
use flate2::Compression;
use flate2::write::GzEncoder;
use weir_model::{AttemptRow, AttemptState, Timestamp};

/// Attempts that are embedded: of a run with more, the first. They take about 200 bytes each until they are written.
pub const MAX_EMBEDDED: u64 = 500_000;
/// The version of the document.
const VERSION: u32 = 1;
/// The greatest number that every reader of JSON has exactly.
const MAX_NUMBER: u64 = (1 << 53) - 1;

type Number = fn(&AttemptRow) -> Option<u64>;

/// Columns of numbers, by the names that the API has for them; times are milliseconds since the Unix epoch, and -1 stands
/// for none.
const NUMBERS: [(&str, Number); 19] = [
    ("stage", |row| Some(row.task.stage.0.into())),
    ("task", |row| Some(row.task.index.into())),
    ("attempt", |row| Some(row.attempt.into())),
    ("speculative", |row| Some(row.speculative.into())),
    ("dispatched_at", |row| Some(row.dispatched_at.0)),
    ("ready_at", |row| Some(row.ready_at.0)),
    ("started_at", |row| row.started_at.map(ms)),
    ("finished_at", |row| row.finished_at.map(ms)),
    ("elapsed_us", |row| Some(row.elapsed_us)),
    ("cpu_us", |row| Some(row.cpu_us)),
    ("wasm_us", |row| Some(row.wasm_us)),
    ("rows_in", |row| Some(row.rows_in)),
    ("rows_out", |row| Some(row.rows_out)),
    ("bytes_in", |row| Some(row.bytes_in)),
    ("bytes_out", |row| Some(row.bytes_out)),
    ("shuffle_bytes_in", |row| Some(row.shuffle_bytes_in)),
    ("shuffle_bytes_out", |row| Some(row.shuffle_bytes_out)),
    ("spilled_bytes", |row| Some(row.spilled_bytes)),
    ("peak_memory_bytes", |row| Some(row.peak_memory_bytes)),
];

fn ms(at: Timestamp) -> u64 {
    at.0
}

/// The attempts so far.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    rows: u64,
    numbers: Vec<Vec<i64>>,
    /// Of a task that the attempt speaks for, its attempts; else zero.
    task_attempts: Vec<i64>,
    task_failed: Vec<i64>,
    states: Words,
    workers: Words,
    failures: Words,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            rows: 0,
            numbers: vec![Vec::new(); NUMBERS.len()],
            task_attempts: Vec::new(),
            task_failed: Vec::new(),
            states: Words::default(),
            workers: Words::default(),
            failures: Words::default(),
        }
    }
}

impl Columns {
    /// Adds an attempt; `speaks` are the attempts and the failures of the task that it speaks for, if it does.
    pub(super) fn add(&mut self, row: &AttemptRow, speaks: Option<(u32, u32)>) {
        if self.rows >= MAX_EMBEDDED {
            return;
        }
        self.rows += 1;
        for (column, (_, number)) in self.numbers.iter_mut().zip(NUMBERS) {
            // Below the limit of signed numbers.
            column.push(number(row).map_or(-1, |number| number.min(MAX_NUMBER) as i64));
        }
        let (attempts, failed) = speaks.unwrap_or_default();
        self.task_attempts.push(attempts.into());
        self.task_failed.push(failed.into());
        self.states.add(Some(match row.state {
            AttemptState::Queued => "queued",
            AttemptState::Running => "running",
            AttemptState::Succeeded => "succeeded",
            AttemptState::Failed => "failed",
            AttemptState::GivenUp => "given_up",
        }));
        self.workers.add(row.worker.map(|worker| worker.to_string()).as_deref());
        self.failures.add(row.failure.as_deref());
    }

    /// Attempts that are here.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Base64 of what gzip makes of a JSON document: each column of numbers as differences to the number before, each of
    /// words as a list and, for every attempt, a place in it from one, or zero.
    pub(super) fn encode(&self) -> String {
        let base64 = EncoderStringWriter::new(&STANDARD);
        let mut out = GzEncoder::new(base64, Compression::default());
        // Writing to memory cannot fail.
        let _ = self.write(&mut out);
        out.finish().map(EncoderStringWriter::into_inner).unwrap_or_default()
    }

    fn write(&self, out: &mut impl std::io::Write) -> std::io::Result<()> {
        write!(out, "{{\"version\":{VERSION},\"rows\":{},\"numbers\":{{", self.rows)?;
        let named = NUMBERS.iter().map(|(name, _)| *name).zip(&self.numbers);
        let counts = [
            ("attempts", &self.task_attempts),
            ("attempts_failed", &self.task_failed),
        ];
        for (place, (name, column)) in named.chain(counts).enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(out, "{comma}\"{name}\":[")?;
            let mut before = 0;
            for (place, number) in column.iter().enumerate() {
                let comma = if place == 0 { "" } else { "," };
                write!(out, "{comma}{}", number - before)?;
                before = *number;
            }
            out.write_all(b"]")?;
        }
        out.write_all(b"},\"words\":{")?;
        let words = [
            ("state", &self.states),
            ("worker", &self.workers),
            ("failure", &self.failures),
        ];
        for (place, (name, words)) in words.into_iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(out, "{comma}\"{name}\":{{\"list\":")?;
            serde_json::to_writer(&mut *out, &words.list)?;
            out.write_all(b",\"places\":")?;
            serde_json::to_writer(&mut *out, &words.places)?;
            out.write_all(b"}")?;
        }
        out.write_all(b"}}")
    }
}

/// A column of words, few of which are different.
#[derive(Clone, Debug, Default)]
struct Words {
    list: Vec<String>,
    known: HashMap<String, u32>,
    places: Vec<u32>,
}

impl Words {
    fn add(&mut self, word: Option<&str>) {
        let place = word.map_or(0, |word| match self.known.get(word) {
            Some(place) => *place,
            None => {
                self.list.push(word.to_owned());
                let place = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
                self.known.insert(word.to_owned(), place);
                place
            }
        });
        self.places.push(place);
    }
}
