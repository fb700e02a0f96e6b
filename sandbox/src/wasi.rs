//! The interfaces of WASI 0.2 that standard libraries import whether a program uses them or not, made inert.
//!
//! The environment is empty, there are no files, clocks stand still, random numbers repeat in every instance, standard
//! input is at its end, and standard output and standard error go to the log. What is not defined here traps when it
//! is called, naming itself. No call blocks.

use wasmtime::component::{ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType};
use wasmtime::{StoreContextMut, bail};

use crate::guest_log::Stream;
use crate::instance::State;

const INTERFACES: [&str; 20] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/stderr",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/terminal-stderr",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// Bytes that a guest may ask for or offer at once.
const MAX_CHUNK: u64 = 64 << 10;
/// The standard streams, as what their resources stand for.
const STDOUT: u32 = 1;
const STDERR: u32 = 2;

/// Whether a component may import the interface `name`, such as `wasi:cli/exit@0.2.3`.
pub(crate) fn is_inert(name: &str) -> bool {
    base(name).is_some_and(|base| INTERFACES.contains(&base))
}

fn base(name: &str) -> Option<&str> {
    let (base, version) = name.split_once('@')?;
    version.starts_with("0.2.").then_some(base)
}

struct InputStream;
struct OutputStream;
struct StreamFailure;
struct Pollable;
struct TerminalInput;
struct TerminalOutput;
struct Descriptor;
struct DirectoryEntryStream;

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    LastOperationFailed(Resource<StreamFailure>),
    #[component(name = "closed")]
    Closed,
}

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

/// Defines the interface `name`, as far as it needs more than a trap. Where it uses a resource of another interface,
/// it has to say that this is the same one.
pub(crate) fn define(linker: &mut Linker<State>, name: &str) -> wasmtime::Result<()> {
    let Some(base) = base(name).filter(|_| is_inert(name)) else {
        return Ok(());
    };
    let mut instance = linker.instance(name)?;
    let at = &mut instance;
    match base {
        "wasi:cli/environment" => {
            at.func_wrap("get-environment", |_, ()| Ok((Vec::<(String, String)>::new(),)))?;
            at.func_wrap("get-arguments", |_, ()| Ok((Vec::<String>::new(),)))?;
            at.func_wrap("initial-cwd", |_, ()| Ok((None::<String>,)))
        }
        "wasi:cli/exit" => at.func_wrap("exit", |_, (status,): (Result<(), ()>,)| -> wasmtime::Result<()> {
            bail!(
                "it called `exit` with {}",
                if status.is_ok() { "success" } else { "failure" }
            )
        }),
        "wasi:cli/stdin" => {
            resource::<InputStream>(at, "input-stream")?;
            at.func_wrap("get-stdin", |_, ()| Ok((Resource::<InputStream>::new_own(0),)))
        }
        "wasi:cli/stdout" => {
            resource::<OutputStream>(at, "output-stream")?;
            at.func_wrap("get-stdout", |_, ()| Ok((Resource::<OutputStream>::new_own(STDOUT),)))
        }
        "wasi:cli/stderr" => {
            resource::<OutputStream>(at, "output-stream")?;
            at.func_wrap("get-stderr", |_, ()| Ok((Resource::<OutputStream>::new_own(STDERR),)))
        }
        "wasi:cli/terminal-input" => resource::<TerminalInput>(at, "terminal-input"),
        "wasi:cli/terminal-output" => resource::<TerminalOutput>(at, "terminal-output"),
        "wasi:cli/terminal-stdin" => {
            resource::<TerminalInput>(at, "terminal-input")?;
            at.func_wrap("get-terminal-stdin", |_, ()| Ok((None::<Resource<TerminalInput>>,)))
        }
        "wasi:cli/terminal-stdout" => {
            resource::<TerminalOutput>(at, "terminal-output")?;
            at.func_wrap("get-terminal-stdout", |_, ()| Ok((None::<Resource<TerminalOutput>>,)))
        }
        "wasi:cli/terminal-stderr" => {
            resource::<TerminalOutput>(at, "terminal-output")?;
            at.func_wrap("get-terminal-stderr", |_, ()| Ok((None::<Resource<TerminalOutput>>,)))
        }
        "wasi:clocks/monotonic-clock" => {
            resource::<Pollable>(at, "pollable")?;
            at.func_wrap("now", |_, ()| Ok((0u64,)))?;
            at.func_wrap("resolution", |_, ()| Ok((1_000_000_000u64,)))
        }
        "wasi:clocks/wall-clock" => {
            let datetime = |seconds| Datetime {
                seconds,
                nanoseconds: 0,
            };
            at.func_wrap("now", move |_, ()| Ok((datetime(0),)))?;
            at.func_wrap("resolution", move |_, ()| Ok((datetime(1),)))
        }
        "wasi:filesystem/preopens" => {
            resource::<Descriptor>(at, "descriptor")?;
            at.func_wrap("get-directories", |_, ()| {
                Ok((Vec::<(Resource<Descriptor>, String)>::new(),))
            })
        }
        "wasi:filesystem/types" => {
            resource::<InputStream>(at, "input-stream")?;
            resource::<OutputStream>(at, "output-stream")?;
            resource::<StreamFailure>(at, "error")?;
            resource::<DirectoryEntryStream>(at, "directory-entry-stream")?;
            resource::<Descriptor>(at, "descriptor")
        }
        "wasi:io/error" => resource::<StreamFailure>(at, "error"),
        "wasi:io/poll" => resource::<Pollable>(at, "pollable"),
        "wasi:io/streams" => streams(at),
        "wasi:random/random" => {
            random_bytes(at, "get-random-bytes")?;
            at.func_wrap("get-random-u64", |mut store: StoreContextMut<'_, State>, ()| {
                Ok((store.data_mut().random.next(),))
            })
        }
        "wasi:random/insecure" => {
            random_bytes(at, "get-insecure-random-bytes")?;
            at.func_wrap(
                "get-insecure-random-u64",
                |mut store: StoreContextMut<'_, State>, ()| Ok((store.data_mut().random.next(),)),
            )
        }
        "wasi:random/insecure-seed" => at.func_wrap("insecure-seed", |mut store: StoreContextMut<'_, State>, ()| {
            let random = &mut store.data_mut().random;
            Ok(((random.next(), random.next()),))
        }),
        _ => Ok(()),
    }
}

fn resource<T: 'static>(at: &mut LinkerInstance<'_, State>, name: &str) -> wasmtime::Result<()> {
    at.resource(name, ResourceType::host::<T>(), |_, _| Ok(()))
}

fn random_bytes(at: &mut LinkerInstance<'_, State>, name: &str) -> wasmtime::Result<()> {
    at.func_wrap(name, |mut store: StoreContextMut<'_, State>, (count,): (u64,)| {
        if count > MAX_CHUNK {
            bail!("it asked for {count} random bytes at once");
        }
        let random = &mut store.data_mut().random;
        Ok(((0..count).map(|_| random.next() as u8).collect::<Vec<u8>>(),))
    })
}

fn streams(at: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    resource::<StreamFailure>(at, "error")?;
    resource::<Pollable>(at, "pollable")?;
    resource::<InputStream>(at, "input-stream")?;
    resource::<OutputStream>(at, "output-stream")?;
    for name in ["read", "blocking-read"] {
        at.func_wrap(
            &format!("[method]input-stream.{name}"),
            |_, (_, _): (Resource<InputStream>, u64)| Ok((Err::<Vec<u8>, _>(StreamError::Closed),)),
        )?;
    }
    at.func_wrap(
        "[method]output-stream.check-write",
        |_, (_,): (Resource<OutputStream>,)| Ok((Ok::<_, StreamError>(MAX_CHUNK),)),
    )?;
    for name in ["write", "blocking-write-and-flush"] {
        at.func_wrap(
            &format!("[method]output-stream.{name}"),
            |mut store: StoreContextMut<'_, State>, (stream, bytes): (Resource<OutputStream>, Vec<u8>)| {
                let stream = if stream.rep() == STDERR {
                    Stream::Err
                } else {
                    Stream::Out
                };
                store.data_mut().log.write(stream, &bytes);
                Ok((Ok::<(), StreamError>(()),))
            },
        )?;
    }
    for name in ["flush", "blocking-flush"] {
        at.func_wrap(
            &format!("[method]output-stream.{name}"),
            |_, (_,): (Resource<OutputStream>,)| Ok((Ok::<(), StreamError>(()),)),
        )?;
    }
    Ok(())
}

/// SplitMix64 with a fixed seed: random enough for hash tables, and the same in every instance, so that a task that is
/// tried again does the same.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        Self(0x05ee_d0f0_e1e5_7a7e)
    }
}

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_interfaces_of_known_versions() {
        for name in [
            "wasi:cli/exit@0.2.0",
            "wasi:io/streams@0.2.12",
            "wasi:random/insecure@0.2.3",
        ] {
            assert!(is_inert(name), "{name}");
        }
        for name in [
            "wasi:sockets/tcp@0.2.0",
            "wasi:http/outgoing-handler@0.2.0",
            "wasi:cli/exit@0.3.0",
            "wasi:cli/exit",
            "wasi:cli/run@0.2.0",
            "evil:cli/exit@0.2.0",
        ] {
            assert!(!is_inert(name), "{name}");
        }
    }
}
