//! Guests, built once per process, and what the tests do with them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

use arrow::array::{ArrayRef, StringArray};
use weir_guest_build::BuildOptions;
use weir_sandbox::{Limits, Module, OpenOptions, Sandbox, SandboxOptions};

type Bytes = Arc<OnceLock<Arc<[u8]>>>;

/// The component of the guest crate `name`.
pub(crate) fn component(name: &'static str) -> Arc<[u8]> {
    static BUILT: LazyLock<Mutex<HashMap<&'static str, Bytes>>> = LazyLock::new(Mutex::default);
    let slot = BUILT.lock().unwrap().entry(name).or_default().clone();
    let build = || {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests").join(name);
        let options = BuildOptions::for_tests(env!("CARGO_TARGET_TMPDIR"));
        let built = weir_guest_build::build(&dir, &options).unwrap_or_else(|error| panic!("{error}"));
        built.bytes.into()
    };
    slot.get_or_init(build).clone()
}

/// One sandbox for all tests: each would reserve the address space of all its instances.
pub(crate) fn sandbox() -> &'static Sandbox {
    static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| {
        Sandbox::new(SandboxOptions {
            max_instances: 200,
            ..SandboxOptions::default()
        })
        .unwrap()
    });
    &SANDBOX
}

/// The guest `name`, loaded.
pub(crate) fn module(name: &'static str) -> Module {
    sandbox().load(&component(name)).unwrap()
}

pub(crate) fn limited(limits: Limits) -> OpenOptions {
    OpenOptions {
        limits,
        ..OpenOptions::default()
    }
}

pub(crate) fn array(array: impl arrow::array::Array + 'static) -> ArrayRef {
    Arc::new(array)
}

pub(crate) fn text<'a, const N: usize>(values: [impl Into<Option<&'a str>>; N]) -> ArrayRef {
    array(values.into_iter().map(Into::into).collect::<StringArray>())
}
