//! What a child does: limits itself, reads a template, writes what it gives.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use weir_model::spec;

use super::{CPU_SECONDS, MEMORY_BYTES, Question, REFUSED};

/// Bytes of a question: a template, its parameters, and what JSON adds.
const MAX_QUESTION: u64 = 32 << 20;

/// Renders the template of standard input to standard output, in a process that is there for nothing else: it is ended
/// by a signal when that takes too much. To be called before the process has other threads.
///
/// # Errors
/// When the limits cannot be set, or the question cannot be read: then nothing was rendered.
pub fn serve() -> io::Result<ExitCode> {
    limit_this_process()?;
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

#[cfg(unix)]
fn limit_this_process() -> io::Result<()> {
    // It ends by an abort when it has no memory, which is nothing to keep a core file of.
    limit(libc::RLIMIT_CORE, 0)?;
    limit(libc::RLIMIT_CPU, CPU_SECONDS)?;
    #[cfg(target_os = "linux")]
    limit(libc::RLIMIT_AS, address_space()? + MEMORY_BYTES)?;
    Ok(())
}

#[cfg(not(unix))]
fn limit_this_process() -> io::Result<()> {
    Ok(())
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
type Resource = libc::__rlimit_resource_t;
#[cfg(all(unix, not(all(target_os = "linux", target_env = "gnu"))))]
type Resource = libc::c_int;

#[cfg(unix)]
fn limit(resource: Resource, value: u64) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: value,
        rlim_max: value,
    };
    // SAFETY: `limit` is a valid structure for as long as the call lasts, and the call keeps no pointer to it.
    match unsafe { libc::setrlimit(resource, &limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Bytes that this process has mapped, its own program among them.
#[cfg(target_os = "linux")]
fn address_space() -> io::Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split(' ').next().and_then(|pages| pages.parse::<u64>().ok());
    // SAFETY: the call has no preconditions.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok();
    match pages.zip(page) {
        Some((pages, page)) => Ok(pages * page),
        None => Err(io::Error::other("/proc/self/statm is not what it should be")),
    }
}
