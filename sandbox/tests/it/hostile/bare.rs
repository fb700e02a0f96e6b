//! Components that no compiler would make: written in WebAssembly's text format, against the canonical ABI, where
//! every pointer, length and tag can be wrong.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use weir_sandbox::{Error, Limits, Module, OpenOptions};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::{Arena, LONG, MEMORY, OUTPUT, REPEATS, SHORT, presentable};

/// A component with one scalar function `f` over 64-bit integers that gives back what it gets. Each part is a piece of
/// text that a test may replace.
#[derive(Clone)]
struct Bare {
    /// What the world imports, as WIT.
    imports: &'static str,
    /// Imports of the core module.
    core_imports: &'static str,
    memory: &'static str,
    /// Further definitions.
    more: &'static str,
    /// What is done first when the function is called.
    before_call: &'static str,
    /// Bodies.
    realloc: &'static str,
    describe: &'static str,
    call: &'static str,
}

/// Stores the result of a call at 512 and leaves its address: the batch that came in.
const ECHO: &str = "
    (i32.store8 (i32.const 512) (i32.const 0))
    (i32.store (i32.const 516) (local.get $rows))
    (i32.store (i32.const 520) (local.get $nodes)) (i32.store (i32.const 524) (local.get $nodes_len))
    (i32.store (i32.const 528) (local.get $buffers)) (i32.store (i32.const 532) (local.get $buffers_len))
    (i32.store (i32.const 536) (i32.const 0)) (i32.store (i32.const 540) (i32.const 0))
    (i32.const 512)";

impl Default for Bare {
    fn default() -> Self {
        Self {
            imports: "",
            core_imports: "",
            memory: "1",
            more: "",
            before_call: "",
            realloc: "
                ;; At the next multiple of 16, growing the memory when it is used up.
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $top) (i32.const 15)) (i32.const -16)))
                (global.set $top (i32.add (local.get $at) (local.get $size)))
                (if (i32.gt_u (global.get $top) (i32.mul (memory.size) (i32.const 65536)))
                    (then (drop (memory.grow (i32.add (i32.div_u (local.get $size) (i32.const 65536)) (i32.const 1))))))
                (local.get $at)",
            describe: "(i32.const 1024)",
            call: ECHO,
        }
    }
}

impl Bare {
    fn text(&self) -> String {
        let Self {
            core_imports,
            memory,
            more,
            before_call,
            realloc,
            describe,
            call,
            ..
        } = self;
        let data: String = description().iter().map(|byte| format!("\\{byte:02x}")).collect();
        format!(
            r#"(module
                {core_imports}
                (memory (export "memory") {memory})
                (global $top (mut i32) (i32.const 4096))
                (data (i32.const 1024) "{data}")
                {more}
                (func (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32)
                    (result i32) {realloc})
                (func (export "weir:udf/functions@0.1.0#describe") (result i32) {describe})
                (func (export "weir:udf/functions@0.1.0#open") (param i32 i32 i32 i32 i32 i32) (result i32)
                    (i32.store8 (i32.const 600) (i32.const 0)) (i32.const 600))
                (func (export "weir:udf/scalar@0.1.0#call")
                    (param $rows i32) (param $nodes i32) (param $nodes_len i32) (param $buffers i32)
                    (param $buffers_len i32) (result i32)
                    {before_call}
                    {call})
            )"#
        )
    }

    fn component(&self) -> Vec<u8> {
        let world = format!(
            "package test:bare;
             world bare {{ {} export weir:udf/functions@0.1.0; export weir:udf/scalar@0.1.0; }}",
            self.imports
        );
        let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk-guest/wit");
        let mut resolve = Resolve::default();
        resolve.push_dir(wit).expect("the contract is valid");
        encode(resolve, &world, &self.text())
    }
}

fn encode(mut resolve: Resolve, world: &str, text: &str) -> Vec<u8> {
    let package = resolve
        .push_str("bare.wit", world)
        .unwrap_or_else(|error| panic!("{error:#}\n{world}"));
    let world = resolve.select_world(&[package], None).expect("one world");
    let mut module = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("metadata");
    let encoder = ComponentEncoder::default()
        .module(&module)
        .unwrap_or_else(|error| panic!("{error:#}"));
    encoder
        .validate(false)
        .encode()
        .unwrap_or_else(|error| panic!("{error:#}"))
}

/// What `describe` gives, as it lies in memory from address 1024 on: `f`, a scalar from `x` to `y`, both `int64`.
fn description() -> Vec<u8> {
    const BASE: u32 = 1024;
    let mut bytes = vec![0u8; 224];
    let mut put = |at: usize, value: u32| bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    let (function, param, output, column, strings) = (16, 64, 96, 112, 144);
    put(0, BASE + function as u32);
    put(4, 1);
    let list = |put: &mut dyn FnMut(usize, u32), at: usize, from: usize, length: u32| {
        put(at, BASE + from as u32);
        put(at + 4, length);
    };
    list(&mut put, function, strings, 1); // name; then, at 8, kind 0
    list(&mut put, function + 12, param, 1);
    list(&mut put, function + 20, output, 1);
    list(&mut put, function + 40, strings, 0); // docs; before it the empty state, and volatility 0
    list(&mut put, param, strings + 1, 1);
    list(&mut put, output, strings + 3, 4);
    list(&mut put, output + 8, column, 1);
    list(&mut put, column, strings + 2, 1);
    bytes[strings..strings + 7].copy_from_slice(b"fxymain");
    for field in [param, column] {
        bytes[field + 8] = 4; // int64
        bytes[field + 24] = 1; // nullable
    }
    bytes
}

fn open_and_call(module: &Module, options: &OpenOptions) -> Result<ArrayRef, Error> {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    module
        .open_scalar("f", options)?
        .call(&[column])
        .map(|evaluated| evaluated.column)
}

/// The attack ends a call, again and again, and the sandbox goes on.
#[track_caller]
fn ends(bare: &Bare, timeout_ms: u64, code: &str, says: &str) {
    let arena = Arena::new();
    let module = arena.sandbox.load(&bare.component()).expect("it describes itself well");
    for _ in 0..REPEATS {
        let error = open_and_call(&module, &arena.options("", timeout_ms)).expect_err(says);
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(says), "`{error}` does not say `{says}`");
        assert!(error.is_user() && presentable(&error.to_string()), "{error:?}");
        assert_eq!(error.function(), Some("f"));
    }
    arena.goes_on();
}

/// The component is not even loaded.
#[track_caller]
fn refused(component: &[u8], code: &str, says: &str) {
    let arena = Arena::new();
    for _ in 0..REPEATS {
        let error = arena.sandbox.load(component).expect_err(says);
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(says), "`{error}` does not say `{says}`");
        assert!(error.is_user() && presentable(&error.to_string()), "{error:?}");
    }
    arena.goes_on();
}

#[test]
fn without_an_attack_it_works() {
    let arena = Arena::new();
    let module = arena.sandbox.load(&Bare::default().component()).unwrap();
    let column = open_and_call(&module, &arena.options("", LONG)).unwrap();
    assert_eq!(column.as_primitive::<Int64Type>().values(), &[1, 2, 3]);
}

#[test]
fn allocators_that_lie() {
    let realloc = |realloc| Bare {
        realloc,
        ..Bare::default()
    };
    ends(&realloc("(i32.const 0xfffffff0)"), LONG, "wasm_trap", "realloc return");
    ends(&realloc("(i32.const 0x7ffffff0)"), LONG, "wasm_trap", "realloc return");
    ends(&realloc("(i32.const 4097)"), LONG, "wasm_trap", "not aligned");
    ends(&realloc("(unreachable)"), LONG, "wasm_trap", "unreachable");
    ends(
        &realloc("(loop $again (br $again)) (unreachable)"),
        SHORT,
        "wasm_limit",
        "took longer",
    );
    let grow = "(loop $again (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)";
    ends(&realloc(grow), LONG, "wasm_limit", "bytes of memory");
}

#[test]
fn results_that_point_nowhere() {
    let call = |call| Bare {
        call,
        ..Bare::default()
    };
    ends(&call("(i32.const 513)"), LONG, "wasm_trap", "not aligned");
    ends(&call("(i32.const 0xfffffff0)"), LONG, "wasm_trap", "out of bounds");
    ends(
        &call("(i32.store8 (i32.const 512) (i32.const 7)) (i32.const 512)"),
        LONG,
        "wasm_trap",
        "discriminant",
    );
}

#[test]
fn lists_that_point_nowhere() {
    // The batch as it came, with one word of the result replaced.
    let patched = |at: u32, value: &str| {
        let call = format!("(drop {ECHO}) (i32.store (i32.const {at}) (i32.const {value})) (i32.const 512)");
        Bare {
            call: Box::leak(call.into_boxed_str()),
            ..Bare::default()
        }
    };
    for (at, value) in [
        (520, "0xfffffffc"),
        (524, "0x7fffffff"),
        (524, "-1"),
        (528, "0xfffffffc"),
        (532, "-1"),
    ] {
        ends(&patched(at, value), LONG, "wasm_trap", "out of bounds");
    }
    for at in [520, 528] {
        ends(&patched(at, "1"), LONG, "wasm_trap", "not aligned");
    }
    // Lists of refused rows, and a buffer within the list of buffers.
    ends(&patched(540, "-1"), LONG, "wasm_trap", "out of bounds");
    let buffer =
        "(i32.store (local.get $buffers) (i32.const -1)) (i32.store offset=4 (local.get $buffers) (i32.const 9))";
    let bare = Bare {
        before_call: buffer,
        ..Bare::default()
    };
    ends(&bare, LONG, "wasm_trap", "out of bounds");
    // One buffer of all memory, many times over.
    let all = "(i32.store (local.get $buffers) (i32.const 0)) (i32.store offset=4 (local.get $buffers) (i32.const 65536))
               (local.set $buffers_len (i32.const 1))
               (memory.fill (i32.const 8192) (i32.const 0) (i32.const 1024))
               (local.set $buffers (i32.const 8192)) (local.set $buffers_len (i32.const 100))
               (loop $again
                 (local.set $rows (i32.sub (local.get $rows) (i32.const 1)))
                 (i32.store offset=4 (i32.add (i32.const 8192) (i32.mul (local.get $rows) (i32.const 8))) (i32.const 65536))
                 (br_if $again (i32.gt_s (local.get $rows) (i32.const 0))))
               (local.set $rows (i32.const 99))
               (loop $more
                 (i32.store offset=4 (i32.add (i32.const 8192) (i32.mul (local.get $rows) (i32.const 8))) (i32.const 65536))
                 (local.set $rows (i32.sub (local.get $rows) (i32.const 1)))
                 (br_if $more (i32.gt_s (local.get $rows) (i32.const 0))))";
    let bare = Bare {
        before_call: all,
        ..Bare::default()
    };
    ends(&bare, LONG, "wasm_limit", "bytes of results");
}

#[test]
fn clean_ups_that_do_not_end() {
    let post = |body: &str| {
        let more = format!("(func (export \"cabi_post_weir:udf/scalar@0.1.0#call\") (param i32) {body})");
        Bare {
            more: Box::leak(more.into_boxed_str()),
            ..Bare::default()
        }
    };
    ends(&post("(loop $again (br $again))"), SHORT, "wasm_limit", "took longer");
    ends(&post("(unreachable)"), LONG, "wasm_trap", "unreachable");
}

#[test]
fn recursion_on_the_engines_stack() {
    let bare = Bare {
        more: "(func $f (call $f))",
        before_call: "(call $f)",
        ..Bare::default()
    };
    ends(&bare, LONG, "wasm_limit", "stack");
}

#[test]
fn bad_arguments_for_the_host() {
    let log = |arguments: &str| {
        let before_call = format!("(call $log {arguments})");
        Bare {
            imports: "import weir:udf/log@0.1.0;",
            core_imports: "(import \"weir:udf/log@0.1.0\" \"log\" (func $log (param i32 i32 i32)))",
            before_call: Box::leak(before_call.into_boxed_str()),
            ..Bare::default()
        }
    };
    ends(
        &log("(i32.const 99) (i32.const 0) (i32.const 0)"),
        LONG,
        "wasm_trap",
        "discriminant",
    );
    ends(
        &log("(i32.const 0) (i32.const -16) (i32.const 100)"),
        LONG,
        "wasm_trap",
        "out of bounds",
    );
    ends(
        &log("(i32.const 0) (i32.const 0) (i32.const -1)"),
        LONG,
        "wasm_trap",
        "out of bounds",
    );
}

#[test]
fn starting_without_end() {
    let start = |body: &str| {
        let more = format!("(func $start {body}) (start $start)");
        Bare {
            more: Box::leak(more.into_boxed_str()),
            ..Bare::default()
        }
        .component()
    };
    refused(&start("(loop $again (br $again))"), "wasm_limit", "took longer");
    refused(&start("(unreachable)"), "wasm_trap", "unreachable");
}

#[test]
fn memories_and_tables_beyond_the_limits() {
    let memory = |memory| {
        Bare {
            memory,
            ..Bare::default()
        }
        .component()
    };
    refused(&memory("65536"), "wasm_invalid_module", "memory");
    refused(&memory("4097"), "wasm_invalid_module", "memory");
    let tables = Bare {
        more: "(table 200000 funcref)",
        ..Bare::default()
    }
    .component();
    refused(&tables, "wasm_invalid_module", "table");

    // Within the sandbox's limits, beyond those of the caller.
    let large = Bare {
        memory: "1024",
        ..Bare::default()
    }
    .component();
    let arena = Arena::new();
    let module = arena.sandbox.load(&large).unwrap();
    for _ in 0..REPEATS {
        let error = open_and_call(&module, &arena.options("", LONG)).unwrap_err();
        assert_eq!(error.code(), "wasm_limit", "{error}");
        assert!(error.to_string().contains("bytes of memory"), "{error}");
    }
    arena.goes_on();

    let grow = "(table $t 1 funcref)";
    let before_call = "(loop $again
        (br_if $again (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))) (unreachable)";
    ends(
        &Bare {
            more: grow,
            before_call,
            ..Bare::default()
        },
        LONG,
        "wasm_limit",
        "tables of more than",
    );
}

#[test]
fn imports_that_it_must_not_have() {
    for (package, interface, version) in [
        ("wasi:sockets", "network", "@0.2.0"),
        ("wasi:http", "outgoing-handler", "@0.2.0"),
        ("evil:host", "api", ""),
    ] {
        let mut resolve = Resolve::default();
        resolve
            .push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk-guest/wit"))
            .unwrap();
        let wit = format!("package {package}{version}; interface {interface} {{ reach-out: func() -> string; }}");
        resolve.push_str("evil.wit", &wit).unwrap();
        let name = format!("{package}/{interface}{version}");
        let world = format!(
            "package test:bare;
             world bare {{ import {name}; export weir:udf/functions@0.1.0; export weir:udf/scalar@0.1.0; }}"
        );
        let bare = Bare {
            core_imports: Box::leak(
                format!("(import \"{name}\" \"reach-out\" (func $reach_out (param i32)))").into_boxed_str(),
            ),
            before_call: "(call $reach_out (i32.const 700))",
            ..Bare::default()
        };
        refused(
            &encode(resolve, &world, &bare.text()),
            "wasm_invalid_module",
            &format!("it imports `{name}`"),
        );
    }
}

#[test]
fn imports_and_exports_of_other_types() {
    // The names of the contract, with types of one's own.
    let encode = |wit: &str, world: &str, text: &str| {
        let mut resolve = Resolve::default();
        resolve.push_str("contract.wit", wit).unwrap();
        encode(resolve, world, text)
    };
    let log = encode(
        "package weir:udf@0.1.0;
         interface log { log: func(message: u64) -> u64; }
         interface functions { describe: func() -> string; }",
        "package test:bare; world bare { import weir:udf/log@0.1.0; export weir:udf/functions@0.1.0; }",
        r#"(module
            (import "weir:udf/log@0.1.0" "log" (func (param i64) (result i64)))
            (memory (export "memory") 1)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (unreachable))
            (func (export "weir:udf/functions@0.1.0#describe") (result i32) (i32.const 0)))"#,
    );
    refused(&log, "wasm_invalid_module", "log");
    let module = r#"(module
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (unreachable))
        (func (export "weir:udf/functions@0.1.0#describe") (result i32) (i32.const 0))
        (func (export "weir:udf/functions@0.1.0#open") (result i32) (i32.const 0)))"#;
    let describe = encode(
        "package weir:udf@0.1.0; interface functions { describe: func() -> string; open: func() -> u32; }",
        "package test:bare; world bare { export weir:udf/functions@0.1.0; }",
        module,
    );
    refused(&describe, "wasm_invalid_module", "");
    let nothing = encode(
        "package weir:udf@0.1.0; interface functions { describe: func() -> string; }",
        "package test:bare; world bare { }",
        "(module)",
    );
    refused(&nothing, "wasm_invalid_module", "it does not export `describe`");
}

/// Damaged components are refused or run; they never harm the host.
#[test]
fn damaged_components() {
    let arena = Arena::new();
    let component = Bare::default().component();
    let options = OpenOptions {
        limits: Limits {
            memory_bytes: MEMORY,
            output_bytes: OUTPUT,
            call_timeout_ms: SHORT,
            ..Limits::default()
        },
        ..OpenOptions::default()
    };
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let (mut loaded, mut refused) = (0, 0);
    for round in 0..400 {
        let mut damaged = component.clone();
        match round % 4 {
            0 => damaged.truncate(random(component.len())),
            1 => drop(damaged.splice(random(component.len()).., [0x80; 16])),
            _ => {
                for _ in 0..=random(3) {
                    // The first bytes say that it is a component at all.
                    let at = 8 + random(component.len() - 8);
                    damaged[at] ^= 1 << random(8);
                }
            }
        }
        match arena.sandbox.load(&damaged) {
            Ok(module) => {
                loaded += 1;
                let Some(function) = module.functions().first() else {
                    continue;
                };
                // Whatever comes of it: it comes, and as a result or an error.
                if let Ok(mut scalar) = module.open_scalar(&function.name, &options) {
                    let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
                    let _ = scalar.call(&[column]);
                }
            }
            Err(error) => {
                refused += 1;
                assert!(presentable(&error.to_string()), "{error:?}");
                assert!(error.is_user(), "{error}");
            }
        }
    }
    assert!(
        loaded > 0 && refused > 200,
        "{loaded} were loaded and {refused} refused"
    );
    arena.goes_on();
}
