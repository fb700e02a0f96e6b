//! Limits that a process sets for itself, before it does what others ask of it. What goes beyond them ends it by a signal.
//!
//! Memory is limited on Linux alone, the time of a processor on Unix.

use std::io;

/// Leaves the process so many bytes of address space beyond what it has now.
///
/// # Errors
/// When the limit cannot be set.
pub fn address_space(bytes: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    limit(libc::RLIMIT_AS, mapped("VmSize:")?.saturating_add(bytes))?;
    let _ = bytes;
    no_core_file()
}

/// Leaves the process so many bytes of memory to write to beyond what it has now. Other than
/// [`address_space`], it does not count what is only reserved. The process is also what the system ends first when the
/// machine has no memory left.
///
/// # Errors
/// When the limit cannot be set.
pub fn memory(bytes: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        // Raising it needs no rights. A system without the file has other ways.
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
        limit(libc::RLIMIT_DATA, mapped("VmData:")?.saturating_add(bytes))?;
    }
    let _ = bytes;
    no_core_file()
}

/// Leaves the process so many seconds of a processor.
///
/// # Errors
/// When the limit cannot be set.
pub fn processor_time(seconds: u64) -> io::Result<()> {
    #[cfg(unix)]
    limit(libc::RLIMIT_CPU, seconds)?;
    let _ = seconds;
    Ok(())
}

/// A process without memory ends by an abort, which is nothing to keep a core file of.
fn no_core_file() -> io::Result<()> {
    #[cfg(unix)]
    limit(libc::RLIMIT_CORE, 0)?;
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

/// Bytes that this process has mapped, as the kernel counts them under a name.
#[cfg(target_os = "linux")]
fn mapped(name: &str) -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib.saturating_mul(1024))
        .ok_or_else(|| io::Error::other("/proc/self/status is not what it should be"))
}
