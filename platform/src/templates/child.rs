//! What a child does: limits itself, reads a template, writes what it gives.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use weir_model::spec;

use super::{CPU_SECONDS, MEMORY_BYTES, Question, REFUSED};
use crate::limits;

/// Bytes of a question: a template, its parameters, and what JSON adds.
const MAX_QUESTION: u64 = 32 << 20;

/// Renders the template of standard input to standard output, in a process that is there for nothing else: it is ended
/// by a signal when that takes too much. To be called before the process has other threads.
///
/// # Errors
/// When the limits cannot be set, or the question cannot be read: then nothing was rendered.
pub fn serve() -> io::Result<ExitCode> {
    limits::processor_time(CPU_SECONDS)?;
    limits::address_space(MEMORY_BYTES)?;
    let mut question = Vec::new();
    io::stdin().lock().take(MAX_QUESTION).read_to_end(&mut question)?;
    let question: Question<'_> = serde_json::from_slice(&question)?;
    let mut stdout = io::stdout().lock();
    let code = match spec::render(&question.file, &question.text, &question.params) {
        Ok(rendered) => {
            stdout.write_all(rendered.as_bytes())?;
            ExitCode::SUCCESS
        }
        Err(diagnostic) => {
            serde_json::to_writer(&mut stdout, &diagnostic)?;
            ExitCode::from(REFUSED as u8)
        }
    };
    stdout.flush()?;
    Ok(code)
}
