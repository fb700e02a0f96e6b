//! Results that are not what they say they are.

use crate::exports::weir::udf::flat_map::Emitted;
use crate::weir::udf::types::{Batch, Error, Node, RowError};

/// Falsifies a batch, if `what` is a forgery of batches.
pub(crate) fn forge(what: &str, batch: &mut Batch) {
    let rows = batch.rows;
    let last = batch.buffers.len() - 1;
    match what {
        "fewer-rows" => resize(batch, rows - 1),
        "more-rows" => resize(batch, rows + 1),
        "rows-lie" => batch.rows += 1,
        "rows-max" => {
            batch.rows = u32::MAX;
            batch.nodes.iter_mut().for_each(|node| node.length = u32::MAX);
        }
        "node-length-lies" => batch.nodes[0].length -= 1,
        "node-missing" => batch.nodes.clear(),
        "node-extra" => batch.nodes.push(Node {
            length: rows,
            null_count: 0,
        }),
        "nodes-flood" => {
            batch.nodes = vec![
                Node {
                    length: rows,
                    null_count: 0
                };
                100_000
            ]
        }
        "buffer-missing" => drop(batch.buffers.pop()),
        "buffers-missing" => batch.buffers.clear(),
        "buffer-extra" => batch.buffers.push(vec![0; 8]),
        "buffers-flood" => batch.buffers = vec![Vec::new(); 20_000],
        "values-short" => drop(batch.buffers[last].pop()),
        "values-empty" => batch.buffers[last].clear(),
        "values-flood" => batch.buffers[last].resize(4 << 20, 0),
        "values-longer" => batch.buffers[last].extend([0xff; 13]),
        "null-count-lies" => batch.nodes[0].null_count = 1,
        "null-count-beyond" => {
            batch.nodes[0].null_count = rows + 1;
            batch.buffers[0] = vec![0; rows.div_ceil(8) as usize];
        }
        "null-count-wrong" => {
            batch.nodes[0].null_count = 1;
            batch.buffers[0] = vec![0xff; rows.div_ceil(8) as usize];
        }
        "null-count-max" => batch.nodes[0].null_count = u32::MAX,
        "validity-short" => {
            batch.nodes[0].null_count = rows;
            batch.buffers[0] = Vec::new();
        }
        "validity-unused" => batch.buffers[0] = vec![0; 64],
        "offsets-short" => drop(batch.buffers[1].pop()),
        "offsets-fall" => set_offset(batch, 1, i32::MAX),
        "offsets-negative" => set_offset(batch, 1, -1),
        "offsets-not-from-zero" => set_offset(batch, 0, 1),
        "offsets-beyond" => set_offset(batch, rows as usize, i32::MAX),
        "offsets-min" => set_offset(batch, 0, i32::MIN),
        "not-utf8" => batch.buffers[2][0] = 0xff,
        "half-a-character" => {
            // The first value ends, and the second begins, within a character.
            batch.buffers[2].splice(0..1, "é".bytes());
            let first = 1;
            let total = batch.buffers[2].len() as i32;
            (1..=rows as usize).for_each(|i| set_offset(batch, i, first + i as i32 - 1));
            set_offset(batch, rows as usize, total);
        }
        "too-many-digits" => batch.buffers[last].copy_from_slice(&i128::MAX.to_le_bytes().repeat(rows as usize)),
        "child-short" => batch.nodes[1].length -= 1,
        "child-nulls-lie" => batch.nodes[1].null_count = 1,
        "wrong-type" => {
            // As text is laid out, under a column that is none, or the other way around.
            if batch.buffers.len() == 2 {
                batch.buffers = vec![Vec::new(), vec![0; 4 * (rows as usize + 1)], Vec::new()];
            } else {
                batch.buffers = vec![Vec::new(), vec![0; 8 * rows as usize]];
            }
        }
        "narrower-type" => {
            let bytes = batch.buffers[last].len() / 2;
            batch.buffers[last].truncate(bytes);
        }
        _ => {}
    }
}

/// A consistent batch of another length.
fn resize(batch: &mut Batch, rows: u32) {
    batch.rows = rows;
    batch.nodes[0].length = rows;
    batch.buffers[1].resize(8 * rows as usize, 0);
}

fn set_offset(batch: &mut Batch, at: usize, offset: i32) {
    batch.buffers[1][4 * at..4 * at + 4].copy_from_slice(&offset.to_le_bytes());
}

/// Falsifies what a flat-map gives, if `what` is a forgery of that.
pub(crate) fn forge_emitted(what: &str, outputs: &mut Vec<Emitted>) {
    match what {
        "output-unknown" => outputs[0].output = 2,
        "output-max" => outputs[0].output = u32::MAX,
        "outputs-swapped" => outputs.iter_mut().for_each(|emitted| emitted.output ^= 1),
        "outputs-flood" => {
            let empty = || Emitted {
                output: 0,
                rows: Batch {
                    rows: 0,
                    nodes: Vec::new(),
                    buffers: Vec::new(),
                },
            };
            outputs.resize_with(50_000, empty);
        }
        _ => {}
    }
}

/// Rows that are refused, in a way that cannot be if `what` is a forgery of that.
pub(crate) fn forge_errors(what: &str, rows: usize) -> Vec<RowError> {
    let error = |row: usize| RowError {
        row: row as u32,
        message: "this one".to_owned(),
    };
    match what {
        "errors-out-of-range" => vec![error(rows)],
        "errors-max" => vec![error(u32::MAX as usize)],
        "errors-unordered" => vec![error(1), error(0)],
        "errors-twice" => vec![error(0), error(0)],
        "errors-flood" => vec![error(0); 100_000],
        _ => Vec::new(),
    }
}

/// A refusal of the whole batch, if `what` asks for one.
pub(crate) fn forge_refusal(what: &str) -> Result<(), Error> {
    let refuse = |message: String, row| Err(Error { message, row });
    match what {
        "refuse" => refuse("not these".to_owned(), Some(1)),
        "refuse-row-beyond" => refuse("not these".to_owned(), Some(u32::MAX)),
        "refuse-control" => refuse("\u{1b}[2Jnot\u{0}these\n".to_owned(), None),
        "refuse-huge" => refuse("x".repeat(768 << 10), None),
        "refuse-too-huge" => refuse("x".repeat(4 << 20), None),
        // SAFETY: none; that is the attack.
        "refuse-not-utf8" => refuse(unsafe { String::from_utf8_unchecked(vec![0xff, 0xfe]) }, None),
        _ => Ok(()),
    }
}
