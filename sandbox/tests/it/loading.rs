use std::fs;

use weir_sandbox::{CacheOptions, Origin, Sandbox, SandboxOptions};

use crate::support::{component, module, sandbox};

#[test]
fn a_module_is_compiled_once() {
    let bytes = component("kinds");
    assert_eq!(module("kinds").digest(), weir_model::Digest::of(&bytes));
    let modules: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| sandbox().load(&bytes).unwrap()))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(
        modules
            .iter()
            .all(|module| std::ptr::eq(module.functions(), modules[0].functions()))
    );
    let loaded = sandbox().loaded(&modules[0].digest()).unwrap();
    assert!(std::ptr::eq(loaded.functions(), modules[0].functions()));
}

#[test]
fn what_is_no_component_is_refused() {
    let core = b"\0asm\x01\0\0\0";
    let damaged = &component("kinds")[..10_000];
    for bytes in [&b""[..], b"hello", core, damaged] {
        let error = sandbox().load(bytes).unwrap_err();
        assert_eq!(error.code(), "wasm_invalid_module");
        assert!(error.is_user());
    }
}

#[test]
fn a_component_that_is_too_large_is_not_compiled() {
    let bytes = component("kinds");
    let load = |max_module_bytes| {
        let options = SandboxOptions {
            max_instances: 1,
            max_module_bytes,
            ..SandboxOptions::default()
        };
        Sandbox::new(options).unwrap().load(&bytes)
    };
    let error = load(bytes.len() - 1).unwrap_err();
    assert_eq!(error.code(), "wasm_invalid_module");
    assert!(
        error.is_user() && error.to_string().contains("max_module_bytes"),
        "{error}"
    );
    load(bytes.len()).unwrap();
}

#[test]
fn compiled_modules_outlive_the_sandbox() {
    let dir = tempfile::tempdir().unwrap();
    let options = SandboxOptions {
        max_instances: 10,
        cache: Some(CacheOptions {
            dir: dir.path().join("cache"),
            key_file: dir.path().join("key"),
            max_bytes: 1 << 30,
        }),
        ..SandboxOptions::default()
    };
    let bytes = component("kinds");
    let load = |expected: Origin| {
        let sandbox = Sandbox::new(options.clone()).unwrap();
        let (module, origin) = sandbox.load_from(&bytes).unwrap();
        assert_eq!(origin, expected);
        assert_eq!(sandbox.load_from(&bytes).unwrap().1, Origin::Kept);
        module
    };
    let first = load(Origin::Compiled);
    let files: Vec<_> = fs::read_dir(dir.path().join("cache"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    let [file] = files.as_slice() else { panic!("{files:?}") };
    let written = fs::metadata(file).unwrap().modified().unwrap();
    let second = load(Origin::Cached);
    assert_eq!(first.functions(), second.functions());
    assert_eq!(
        fs::metadata(file).unwrap().modified().unwrap(),
        written,
        "compiled again"
    );
    // Damage is found, and repaired.
    let mut damaged = fs::read(file).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(file, &damaged).unwrap();
    assert_eq!(load(Origin::Compiled).functions(), first.functions());
    assert_ne!(fs::read(file).unwrap(), damaged);
}

#[test]
fn there_is_room_for_so_many_instances() {
    let sandbox = Sandbox::new(SandboxOptions {
        max_instances: 4,
        ..SandboxOptions::default()
    })
    .unwrap();
    let module = sandbox.load(&component("kinds")).unwrap();
    let open = || module.open_scalar("add", &Default::default());
    let mut open_ones: Vec<_> = (0..4).map(|_| open().unwrap()).collect();
    let error = open().err().unwrap();
    assert_eq!(error.code(), "wasm_out_of_instances");
    assert!(!error.is_user());
    open_ones.pop();
    open().unwrap();
}
