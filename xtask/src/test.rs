//! The test command.

use crate::command::{cargo, root, run as run_command, target_dir};
use crate::dashboard;
use crate::error::Result;
use crate::guests;
use crate::toolchain;

/// Runs the tests that `args` choose, or all when there are none.
pub(crate) fn run(args: &[&str]) -> Result<()> {
    toolchain::ensure(None)?;
    if !args.is_empty() {
        return run_command(
            cargo(root())
                .args(["test", "--locked"])
                .args(selection(args))
                .args(args),
        );
    }
    guests::build_all()?;
    run_command(cargo(root()).args(["test", "--locked", "--workspace"]))?;
    // Guests' own tests run on the host, and share one folder for their dependencies.
    let target = target_dir()?.join("guests-on-host");
    for dir in guests::workspaces()? {
        run_command(
            cargo(&dir)
                .args(["test", "--locked", "--workspace"])
                .env("CARGO_TARGET_DIR", &target),
        )?;
    }
    if dashboard::is_possible() {
        dashboard::build()?;
        dashboard::test()
    } else {
        eprintln!("skipped the dashboard's tests: {}", dashboard::NEEDS);
        Ok(())
    }
}

/// All packages, unless the arguments choose some.
fn selection(args: &[&str]) -> &'static [&'static str] {
    let chooses = |arg: &&str| {
        ["-p", "--package", "--workspace", "--all"].contains(arg)
            || arg.starts_with("-p")
            || arg.starts_with("--package=")
    };
    let own = args.iter().take_while(|arg| **arg != "--");
    if own.clone().any(chooses) {
        &[]
    } else {
        &["--workspace"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_packages_are_tested_unless_some_are_chosen() {
        for args in [
            &["-p", "weir-model"][..],
            &["-pweir-model"],
            &["--package=weir-model"],
            &["--workspace"],
        ] {
            assert_eq!(selection(args), [""; 0], "{args:?}");
        }
        for args in [&["digest"][..], &["--release"], &["--", "-p"]] {
            assert_eq!(selection(args), ["--workspace"], "{args:?}");
        }
    }
}
