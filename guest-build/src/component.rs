use std::path::Path;

use crate::{Error, Result};

/// Checks that `bytes`, which came from `path`, begin as a WebAssembly component does. Whether the rest is valid is
/// for the sandbox to say.
///
/// # Errors
/// [`Error::NotAComponent`], saying what the bytes are instead.
pub fn check_component(path: &Path, bytes: &[u8]) -> Result<()> {
    let problem = match bytes {
        // After the magic comes a version, then a layer: 1 for components, 0 for modules.
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => return Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => {
            "it is a core module (compile for wasm32-wasip2, not wasm32-unknown-unknown or wasm32-wasip1)"
        }
        [] => "it is empty",
        _ => "it does not begin as WebAssembly does",
    };
    Err(Error::NotAComponent {
        path: path.to_owned(),
        problem,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], problem: Option<&str>) {
        let message = check_component(Path::new("a.wasm"), bytes)
            .err()
            .map(|error| error.to_string());
        match (message, problem) {
            (None, None) => {}
            (Some(message), Some(problem)) => assert!(message.contains(problem), "{message}"),
            (message, problem) => panic!("expected {problem:?}, got {message:?}"),
        }
    }

    #[test]
    fn components_are_told_from_everything_else() {
        check(b"\0asm\x0d\0\x01\0", None);
        check(b"\0asm\x0d\0\x01\0and more", None);
        check(b"\0asm\x01\0\0\0", Some("core module"));
        check(b"", Some("empty"));
        check(b"\0asm", Some("does not begin"));
        check(b"\x7fELF\x02\x01\x01\0", Some("does not begin"));
    }
}
