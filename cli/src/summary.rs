//! A run as it is printed: summary, list and events.

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use weir_control_plane::http::resources::{
    Event, FindingList, FindingSeverity, ListedRun, Metric, Run, RunResult, RunState, StageState,
};
use weir_model::Timestamp;

use crate::args::OutputFormat;
use crate::format;

/// A plain table: no borders, a header, columns two spaces apart.
pub(crate) fn table<const N: usize>(header: [&str; N], right: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    for at in right {
        if let Some(column) = table.column_mut(*at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// How a run stands, in one word.
pub(crate) fn state(state: RunState, result: Option<RunResult>) -> &'static str {
    match (result, state) {
        (Some(RunResult::Succeeded), _) => "succeeded",
        (Some(RunResult::Failed), _) => "failed",
        (Some(RunResult::Cancelled), _) => "cancelled",
        (None, RunState::Queued) => "queued",
        (None, RunState::Planning) => "planning",
        (None, RunState::Running) => "running",
        (None, RunState::Paused) => "paused",
        (None, RunState::Committing) => "committing",
        (None, RunState::Stopping | RunState::Finished) => "stopping",
    }
}

/// Prints one run with its stages.
pub(crate) fn print_run(out: &mut dyn Write, run: &Run, output: OutputFormat) -> io::Result<()> {
    match output {
        OutputFormat::Json => print_json(out, run, true),
        OutputFormat::Jsonl => print_json(out, run, false),
        OutputFormat::Table => {
            writeln!(out, "run      {}", run.id)?;
            writeln!(out, "job      {}", run.name)?;
            let took = run.durations.total_ms;
            let took = took
                .map(|ms| format!(" in {}", format::duration(ms)))
                .unwrap_or_default();
            writeln!(out, "state    {}{took}", state(run.state, run.result))?;
            if let Some(reason) = &run.reason {
                writeln!(out, "reason   {}: {}", reason.code, reason.message)?;
            }
            print_stages(out, run)?;
            print_metrics(out, run)?;
            for written in &run.outputs {
                writeln!(
                    out,
                    "\n{} wrote {} rows, {}:",
                    written.transform,
                    format::count(written.rows),
                    format::bytes(written.bytes)
                )?;
                const SHOWN: usize = 8;
                for file in written.files.iter().take(SHOWN) {
                    writeln!(out, "  {file}")?;
                }
                if written.files.len() > SHOWN {
                    writeln!(out, "  … and {} more files", written.files.len() - SHOWN)?;
                }
            }
            Ok(())
        }
    }
}

fn print_stages(out: &mut dyn Write, run: &Run) -> io::Result<()> {
    if run.stages.is_empty() {
        return Ok(());
    }
    let mut table = table(
        [
            "stage",
            "state",
            "tasks",
            "rows in",
            "rows out",
            "bytes in",
            "bytes out",
            "spilled",
            "failed",
            "time",
            "name",
        ],
        &[2, 3, 4, 5, 6, 7, 8, 9],
    );
    for stage in &run.stages {
        let time = match (stage.started_at, stage.finished_at) {
            (Some(start), Some(end)) => format::duration(end.0.ms_since(start.0)),
            _ => "-".to_owned(),
        };
        table.add_row([
            stage.id.to_string(),
            match stage.state {
                StageState::Waiting => "waiting",
                StageState::Running => "running",
                StageState::Completed => "completed",
                StageState::Stopped => "stopped",
            }
            .to_owned(),
            format!("{}/{}", stage.tasks_done, stage.tasks),
            format::count(stage.rows_in),
            format::count(stage.rows_out),
            format::bytes(stage.bytes_in),
            format::bytes(stage.bytes_out),
            format::bytes(stage.spilled_bytes),
            stage.attempts_failed.to_string(),
            time,
            stage.name.clone(),
        ]);
    }
    writeln!(out, "\n{}", trim(&table))
}

/// What user functions counted.
fn print_metrics(out: &mut dyn Write, run: &Run) -> io::Result<()> {
    if run.metrics.is_empty() {
        return Ok(());
    }
    let mut table = table(["metric", "value"], &[]);
    for (name, metric) in &run.metrics {
        table.add_row([
            name.clone(),
            match metric {
                Metric::Counter { value } | Metric::Gauge { value } => value.to_string(),
                Metric::Distribution { count, sum, min, max } => {
                    let mean = *sum as f64 / (*count).max(1) as f64;
                    format!("{count} samples, min {min}, mean {mean:.1}, max {max}")
                }
            },
        ]);
    }
    writeln!(out, "\n{}", trim(&table))
}

/// Prints runs, newest first.
pub(crate) fn print_runs(out: &mut dyn Write, runs: &[ListedRun], output: OutputFormat) -> io::Result<()> {
    match output {
        OutputFormat::Json => print_json(out, &runs, true),
        OutputFormat::Jsonl => runs.iter().try_for_each(|run| print_json(out, run, false)),
        OutputFormat::Table => {
            let mut table = table(
                ["run", "job", "state", "created", "time", "stages", "tasks"],
                &[4, 5, 6],
            );
            for run in runs {
                table.add_row([
                    run.id.to_string(),
                    run.name.to_owned(),
                    state(run.state, run.result).to_owned(),
                    format::time(run.created_at.0),
                    run.finished_at
                        .map_or("-".to_owned(), |end| format::duration(end.0.ms_since(run.created_at.0))),
                    format!("{}/{}", run.stages_completed, run.stages),
                    format!("{}/{}", run.tasks_done, run.tasks),
                ]);
            }
            writeln!(out, "{}", trim(&table))
        }
    }
}

/// Prints what is worth a look in a run.
pub(crate) fn print_findings(out: &mut dyn Write, found: &FindingList, output: OutputFormat) -> io::Result<()> {
    match output {
        OutputFormat::Json => print_json(out, found, true),
        OutputFormat::Jsonl => found
            .items
            .iter()
            .try_for_each(|finding| print_json(out, finding, false)),
        OutputFormat::Table => {
            if found.items.is_empty() {
                let so_far = if found.complete { "" } else { " so far" };
                return writeln!(out, "run {}: nothing stands out{so_far}", found.run);
            }
            for (place, finding) in found.items.iter().enumerate() {
                if place > 0 {
                    writeln!(out)?;
                }
                let code = serde_json::to_value(finding.code)?;
                let code = code.as_str().unwrap_or_default();
                writeln!(out, "{:<8} {}  [{code}]", severity(finding.severity), finding.title)?;
                writeln!(out, "         {}", finding.detail)?;
                writeln!(out, "         fix: {}", finding.fix)?;
            }
            Ok(())
        }
    }
}

/// Says on stderr that there are findings, and how to see them.
pub(crate) fn mention_findings(found: &FindingList) {
    let number = found.items.len();
    let Some(worst) = found.items.iter().map(|finding| finding.severity).max() else {
        return;
    };
    let findings = if number == 1 { "finding" } else { "findings" };
    eprintln!(
        "{number} {findings} ({} at worst): `weir runs diagnose {}`",
        severity(worst),
        found.run
    );
}

fn severity(severity: FindingSeverity) -> &'static str {
    match severity {
        FindingSeverity::Info => "info",
        FindingSeverity::Warning => "warning",
        FindingSeverity::Error => "error",
    }
}

/// Prints events in order.
pub(crate) fn print_events(out: &mut dyn Write, events: &[Event], output: OutputFormat) -> io::Result<()> {
    match output {
        OutputFormat::Json => print_json(out, &events, true),
        OutputFormat::Jsonl => events.iter().try_for_each(|event| print_json(out, event, false)),
        OutputFormat::Table => {
            let start = events.first().map_or(Timestamp(0), |event| event.at.0);
            let mut table = table(["seq", "after", "event", "details"], &[0, 1]);
            for event in events {
                table.add_row([
                    event.seq.to_string(),
                    format::duration(event.at.0.ms_since(start)),
                    event.kind.clone(),
                    describe(event),
                ]);
            }
            writeln!(out, "{}", trim(&table))
        }
    }
}

/// An event's small fields as text.
fn describe(event: &Event) -> String {
    const LONGEST: usize = 100;
    let mut parts = Vec::new();
    for (name, value) in &event.data {
        let text = match (name.as_str(), value) {
            ("task", task) => format!("{}.{}", task["stage"], task["index"]),
            ("output", output) => format!("{} rows", output["metrics"]["rows_out"]),
            ("failure", failure) => failure["message"].as_str().unwrap_or_default().to_owned(),
            ("graph", graph) => format!("{} stages", graph["stages"].as_array().map_or(0, Vec::len)),
            ("submission", submission) => submission["name"].as_str().unwrap_or_default().to_owned(),
            ("tasks", tasks) => tasks.as_array().map_or(0, Vec::len).to_string(),
            ("metrics", _) => continue,
            (_, serde_json::Value::String(text)) => text.clone(),
            (_, serde_json::Value::Null) => continue,
            (_, other) => other.to_string(),
        };
        let text: String = if text.chars().count() > LONGEST {
            text.chars().take(LONGEST).chain(['…']).collect()
        } else {
            text
        };
        parts.push(format!("{name}={text}"));
    }
    parts.join(" ")
}

/// Prints a JSON document and a line end.
pub(crate) fn print_json(out: &mut dyn Write, value: &impl Serialize, pretty: bool) -> io::Result<()> {
    if pretty {
        serde_json::to_writer_pretty(&mut *out, value)?;
    } else {
        serde_json::to_writer(&mut *out, value)?;
    }
    writeln!(out)
}

/// A table without the spaces that pad its last column.
pub(crate) fn trim(table: &Table) -> String {
    table.trim_fmt()
}
