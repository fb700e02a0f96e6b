//! What must hold before a change goes in.

use std::time::{Duration, Instant};

use crate::command::{cargo, on_path, root, run as run_command, target_dir};
use crate::error::{Error, Result};
use crate::{api, dashboard, guests, terraform, test};

/// Runs all steps, also after one failed, and says at the end how each went.
pub(crate) fn run() -> Result<()> {
    let mut report = Report::default();
    report.step("format", format);
    // First, so that the binary that is tested has it.
    if dashboard::is_possible() {
        report.step("dashboard", || dashboard::check().and_then(|()| dashboard::build()));
    } else {
        report.skipped("dashboard", dashboard::NEEDS);
    }
    report.step("lints", lints);
    report.step("tests", || test::run(&[]));
    report.step("api", api::check);
    report.step("documentation", documentation);
    report.step("terraform", || terraform::run(terraform::Mode::Check));
    if on_path("cargo-deny") {
        report.step("dependencies", || {
            run_command(cargo(root()).args(["deny", "--workspace", "check", "bans", "licenses", "sources"]))
        });
    } else {
        report.skipped("dependencies", "cargo-deny is not installed");
    }
    report.finish()
}

fn format() -> Result<()> {
    run_command(cargo(root()).args(["fmt", "--all", "--check"]))?;
    for dir in guests::workspaces()? {
        run_command(cargo(&dir).args(["fmt", "--all", "--check"]))?;
    }
    Ok(())
}

fn lints() -> Result<()> {
    const CLIPPY: &[&str] = &[
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    run_command(cargo(root()).args(CLIPPY))?;
    let target = target_dir()?.join("guests-on-host");
    for dir in guests::workspaces()? {
        run_command(cargo(&dir).args(CLIPPY).env("CARGO_TARGET_DIR", &target))?;
    }
    Ok(())
}

fn documentation() -> Result<()> {
    run_command(
        cargo(root())
            .args(["doc", "--locked", "--workspace", "--no-deps"])
            // People read these documents in the source, too, where links to private items lead somewhere.
            .env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links"),
    )
}

/// How the steps went.
#[derive(Default)]
struct Report {
    lines: Vec<String>,
    failed: Vec<String>,
}

impl Report {
    fn step(&mut self, name: &str, step: impl FnOnce() -> Result<()>) {
        eprintln!("\n== {name}");
        let started = Instant::now();
        let outcome = match step() {
            Ok(()) => "ok".to_owned(),
            Err(error) => {
                eprintln!("error: {error}");
                self.failed.push(name.to_owned());
                format!("FAILED: {error}")
            }
        };
        self.lines.push(line(name, started.elapsed(), &outcome));
    }

    fn skipped(&mut self, name: &str, why: &str) {
        self.lines.push(line(name, Duration::ZERO, &format!("skipped: {why}")));
    }

    fn finish(self) -> Result<()> {
        eprintln!("\n== summary");
        for line in &self.lines {
            eprintln!("{line}");
        }
        if self.failed.is_empty() {
            Ok(())
        } else {
            Err(Error::Steps(self.failed))
        }
    }
}

fn line(name: &str, took: Duration, outcome: &str) -> String {
    format!("{name:<14} {:>6.0} s  {outcome}", took.as_secs_f64())
}
