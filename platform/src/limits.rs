//! Limits that a process sets for itself, before it does what others ask of it.

use std::io;

/// Leaves the process so many bytes of memory that it can write to beyond what it has mapped now; whoever asks for more
/// gets none, which ends a Rust program by an abort. Address space that is only reserved does not count, and neither do
/// files. It also keeps no core file, and is what the system ends first when the machine has no memory left.
///
/// Only Linux has such a limit; elsewhere nothing is limited.
///
/// # Errors
/// When the limits cannot be set.
#[cfg(target_os = "linux")]
pub fn limit_memory(bytes: u64) -> io::Result<()> {
    // Raising it needs no rights. A system without the file has other ways.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    limit(libc::RLIMIT_CORE, 0)?;
    limit(libc::RLIMIT_DATA, writable()?.saturating_add(bytes))
}

/// See the one for Linux.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn limit_memory(_: u64) -> io::Result<()> {
    Ok(())
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
type Resource = libc::__rlimit_resource_t;
#[cfg(all(target_os = "linux", not(target_env = "gnu")))]
type Resource = libc::c_int;

#[cfg(target_os = "linux")]
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

/// Bytes that are mapped for this process alone to write to, as the limit counts them.
#[cfg(target_os = "linux")]
fn writable() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"));
    let kib = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib.saturating_mul(1024))
        .ok_or_else(|| io::Error::other("/proc/self/status is not what it should be"))
}
