//! The page.

use std::fmt::{Display, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use weir_model::Digest;

use super::format::{Escaped, bytes, count, json, micros, millis, word};
use super::timeline::{COLOURS, timeline};
use super::{Export, MAX_ATTEMPTS, MAX_TASKS};
use crate::http::resources::{Finding, Quantiles, Run, RunResult, RunState, Stage, StageProfile, StageState, Task};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = concat!(
    include_str!("attempts.js"),
    include_str!("timeline.js"),
    include_str!("table.js")
);

/// A page in the making. Writing to a string cannot fail.
struct Page(String);

impl Page {
    fn add(&mut self, html: impl Display) {
        let _ = write!(self.0, "{html}");
    }

    fn section(&mut self, id: &str, title: &str, content: impl FnOnce(&mut Self)) {
        self.add(format_args!("<section id=\"{id}\"><h2>{}</h2>", Escaped(title)));
        content(self);
        self.add("</section>\n");
    }

    /// A table.
    fn table(&mut self, caption: &str, header: &[&str], rows: impl Iterator<Item = Vec<Cell>>) {
        self.add(format_args!(
            "<div class=\"scroll\"><table><caption>{}</caption><thead><tr>",
            Escaped(caption)
        ));
        let mut rows = rows.peekable();
        for (place, name) in header.iter().enumerate() {
            let first = rows.peek().and_then(|row| row.get(place));
            let class = first.map_or("", Cell::class);
            self.add(format_args!("<th scope=\"col\"{class}>{}</th>", Escaped(name)));
        }
        self.add("</tr></thead><tbody>");
        for row in rows {
            self.add("<tr>");
            for cell in row {
                self.add(format_args!(
                    "<td{}{}>{}</td>",
                    cell.class(),
                    cell.tasks(),
                    Escaped(&cell.text)
                ));
            }
            self.add("</tr>");
        }
        self.add("</tbody></table></div>");
    }

    fn definitions(&mut self, pairs: &[(&str, String)]) {
        self.add("<dl>");
        for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
            self.add(format_args!(
                "<div><dt>{}</dt><dd>{}</dd></div>",
                Escaped(name),
                Escaped(value)
            ));
        }
        self.add("</dl>");
    }

    fn note(&mut self, text: &str) {
        self.add(format_args!("<p class=\"note\">{}</p>", Escaped(text)));
    }
}

struct Cell {
    text: String,
    is_number: bool,
    /// The tasks that it stands for.
    tasks: Option<Range>,
}

/// Tasks of a stage with a metric between two values, both included.
struct Range {
    stage: u32,
    metric: &'static str,
    min: u64,
    max: u64,
}

impl Cell {
    /// The attribute that sets it to the side where its kind stands.
    fn class(&self) -> &'static str {
        if self.is_number { " class=\"n\"" } else { "" }
    }

    /// The attributes that the script finds its tasks by.
    fn tasks(&self) -> String {
        self.tasks.as_ref().map_or_else(String::new, |tasks| {
            let Range {
                stage,
                metric,
                min,
                max,
            } = tasks;
            format!(" data-stage=\"{stage}\" data-metric=\"{metric}\" data-min=\"{min}\" data-max=\"{max}\"")
        })
    }
}

fn text(text: impl Into<String>) -> Cell {
    Cell {
        text: text.into(),
        is_number: false,
        tasks: None,
    }
}

fn number(text: impl Into<String>) -> Cell {
    Cell {
        text: text.into(),
        is_number: true,
        tasks: None,
    }
}

/// The whole file.
pub(super) fn page(export: &Export) -> String {
    let run = &export.run;
    let mut page = Page(String::new());
    let hash = |text: &str| STANDARD.encode(Digest::of(text.as_bytes()).as_bytes());
    let (style, script) = (hash(STYLE), hash(SCRIPT));
    let title = format!("{} · {}", run.name, run.id);
    page.add(format_args!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; base-uri 'none'; form-action 'none'\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"referrer\" content=\"no-referrer\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{}</title><style>{STYLE}</style></head>\n<body><main>\n",
        Escaped(&title)
    ));
    head(&mut page, export);
    findings(&mut page, &export.findings.items);
    page.section("timeline", "Timeline", |page| {
        page.add("<div id=\"all-attempts\" hidden></div><div id=\"some-attempts\">");
        page.add(timeline(&export.attempts));
        if export.attempts_total > export.attempts.len() as u64 {
            page.note(&format!(
                "It shows the {MAX_ATTEMPTS} attempts that took longest, of {}. Where the script of this file may run, it \
                 shows all of them.",
                count(export.attempts_total)
            ));
        }
        page.add("</div>");
        legend(page, &export.stages);
    });
    page.section("stages", "Stages", |page| stages(page, run, &export.stages));
    page.section("tasks", "Tasks", |page| tasks(page, export));
    configuration(&mut page, export);
    page.add("<footer><p>");
    page.add(Escaped(&format!(
        "Written by Weir {}. The element `weir-run` of this file has the run, its stages and its findings as JSON; \
         `weir-attempts` has all attempts: JSON in gzip in Base64, numbers as differences to the number before.",
        env!("CARGO_PKG_VERSION")
    )));
    page.add("</p></footer></main>\n<script type=\"application/json\" id=\"weir-run\">");
    let data = serde_json::json!({
        "run": export.run,
        "stages": export.stages,
        "findings": export.findings.items,
    });
    page.add(json(&data));
    page.add("</script>\n<script type=\"application/octet-stream\" id=\"weir-attempts\">");
    page.add(export.columns.encode());
    page.add(format_args!("</script>\n<script>{SCRIPT}</script>\n</body></html>\n"));
    page.0
}

fn head(page: &mut Page, export: &Export) {
    let run = &export.run;
    let result = run.result.as_ref().map_or_else(|| word(&run.state), word);
    page.add(format_args!(
        "<header><p class=\"state {0}\">{0}</p><h1>{1}</h1><p class=\"id\">{2}</p>",
        Escaped(&result),
        Escaped(&run.name),
        run.id
    ));
    if let Some(reason) = &run.reason {
        page.add(format_args!(
            "<p class=\"reason\"><strong>{}</strong> {}</p>",
            Escaped(&reason.code),
            Escaped(&reason.message)
        ));
    }
    let time = |ms: Option<u64>| ms.map(millis).unwrap_or_default();
    let cost = &run.usage.estimated_cost;
    page.definitions(&[
        ("Took", time(run.durations.total_ms)),
        ("Submitted", run.created_at.to_string()),
        ("By", run.created_by.clone().unwrap_or_default()),
        ("Namespace", run.namespace.to_string()),
        (
            "Tasks",
            format!(
                "{} of {}",
                count(run.progress.tasks_done.into()),
                count(run.progress.tasks.into())
            ),
        ),
        ("Failed attempts", count(run.progress.attempts_failed.into())),
        ("Rows read", count(run.usage.rows_read)),
        ("Rows written", count(run.usage.rows_written)),
        ("Shuffled", bytes(run.usage.shuffle_bytes)),
        ("Spilled", bytes(run.usage.spill_bytes)),
        ("vCPU", format!("{:.1} s", run.usage.vcpu_seconds)),
        ("Memory", format!("{:.1} GiB s", run.usage.memory_gib_seconds)),
        ("In Wasm", format!("{:.1} s", run.usage.wasm_seconds)),
        (
            "Estimated cost",
            format!(
                "{:.4} {} (prices {})",
                cost.amount, cost.currency, cost.price_table_version
            ),
        ),
    ]);
    let phases = &run.durations;
    page.definitions(&[
        ("Queued", time(phases.queued_ms)),
        ("Planning", time(phases.planning_ms)),
        ("Cold start", time(phases.cold_start_ms)),
        ("Running", time(phases.running_ms)),
        ("Committing", time(phases.committing_ms)),
    ]);
    page.add("</header>\n");
}

fn findings(page: &mut Page, findings: &[Finding]) {
    page.section("findings", "Findings", |page| {
        if findings.is_empty() {
            page.add("<p class=\"empty\">Nothing is worth a look.</p>");
            return;
        }
        page.add("<ul class=\"findings\">");
        for finding in findings {
            let severity = word(&finding.severity);
            page.add(format_args!(
                "<li class=\"{severity}\"><h3><span>{severity}</span> {}</h3><p>{}</p><p class=\"fix\">{}</p></li>",
                Escaped(&finding.title),
                Escaped(&finding.detail),
                Escaped(&finding.fix)
            ));
        }
        page.add("</ul>");
    });
}

/// Where a stage is, or how it ended with a run that did not come to its end.
fn standing(run: &Run, stage: &Stage) -> String {
    if run.state != RunState::Finished || stage.state == StageState::Completed {
        return word(&stage.state);
    }
    let broke = run.reason.as_ref().and_then(|reason| reason.stage) == Some(stage.id);
    let standing = match stage.started_at {
        _ if broke && run.result == Some(RunResult::Failed) => "failed",
        None => "not reached",
        Some(_) => "stopped",
    };
    standing.to_owned()
}

fn legend(page: &mut Page, stages: &[StageProfile]) {
    page.add("<ul class=\"legend\">");
    for stage in stages.iter().take(COLOURS as usize * 4) {
        page.add(format_args!(
            "<li><i class=\"s{}\"></i>{} {}</li>",
            stage.stage.id % COLOURS,
            stage.stage.id,
            Escaped(&stage.stage.name)
        ));
    }
    page.add("</ul>");
}

fn stages(page: &mut Page, run: &Run, stages: &[StageProfile]) {
    if stages.is_empty() {
        page.add("<p class=\"empty\">It was never planned.</p>");
        return;
    }
    let header = [
        "Stage",
        "State",
        "Tasks",
        "Failed",
        "Time",
        "Rows in",
        "Rows out",
        "Bytes in",
        "Bytes out",
        "Spilled",
    ];
    page.table(
        "What the stages did",
        &header,
        stages.iter().map(|profile| {
            let stage = &profile.stage;
            vec![
                text(format!("{} {}", stage.id, stage.name)),
                text(standing(run, stage)),
                number(format!(
                    "{} / {}",
                    count(stage.tasks_done.into()),
                    count(stage.tasks.into())
                )),
                number(count(stage.attempts_failed.into())),
                number(format!("{:.0} %", profile.time_share * 100.0)),
                number(count(stage.rows_in)),
                number(count(stage.rows_out)),
                number(bytes(stage.bytes_in)),
                number(bytes(stage.bytes_out)),
                number(bytes(stage.spilled_bytes)),
            ]
        }),
    );
    for profile in stages {
        page.add(format_args!(
            "<details><summary>Stage {}: {}</summary>",
            profile.stage.id,
            Escaped(&profile.stage.name)
        ));
        quantiles(page, profile);
        operators(page, profile);
        page.add("</details>");
    }
}

fn quantiles(page: &mut Page, profile: &StageProfile) {
    let all = &profile.quantiles;
    type Show = fn(u64) -> String;
    let rows: [(&str, &str, &Quantiles, Show); 12] = [
        ("elapsed_us", "Time", &all.elapsed_us, micros),
        ("queue_delay_ms", "Wait for a worker", &all.queue_delay_ms, millis),
        ("cpu_us", "CPU time", &all.cpu_us, micros),
        ("wasm_us", "Time in Wasm", &all.wasm_us, micros),
        ("rows_in", "Rows in", &all.rows_in, count),
        ("rows_out", "Rows out", &all.rows_out, count),
        ("bytes_in", "Bytes in", &all.bytes_in, bytes),
        ("bytes_out", "Bytes out", &all.bytes_out, bytes),
        ("shuffle_bytes_in", "Shuffle bytes in", &all.shuffle_bytes_in, bytes),
        ("shuffle_bytes_out", "Shuffle bytes out", &all.shuffle_bytes_out, bytes),
        ("spilled_bytes", "Spilled", &all.spilled_bytes, bytes),
        ("peak_memory_bytes", "Peak memory", &all.peak_memory_bytes, bytes),
    ];
    let header = ["Per task", "Least", "25 %", "Median", "75 %", "95 %", "Most", "Sum"];
    let stage = profile.stage.id;
    let rows = rows.into_iter().map(|(metric, name, of, show)| {
        // The least and the most stand for themselves, the others for what lies up to the next one.
        let values = [of.p0, of.p25, of.p50, of.p75, of.p95, of.p100];
        let ends = [of.p0, of.p50, of.p75, of.p95, of.p100, of.p100];
        let quantiles = values.into_iter().zip(ends).map(|(min, max)| Cell {
            tasks: Some(Range {
                stage,
                metric,
                min,
                max,
            }),
            ..number(show(min))
        });
        std::iter::once(text(name))
            .chain(quantiles)
            .chain([number(show(of.sum))])
            .collect()
    });
    page.table("Quantiles over its tasks", &header, rows);
}

fn operators(page: &mut Page, profile: &StageProfile) {
    let header = [
        "Operator",
        "Share",
        "Rows in",
        "Rows out",
        "CPU time",
        "In Wasm",
        "Spilled",
        "Functions",
    ];
    let rows = profile.operators.iter().map(|operator| {
        vec![
            text(format!(
                "{}{}",
                "\u{2003}".repeat(operator.depth.min(40) as usize),
                operator.name
            )),
            number(format!("{:.0} %", operator.stage_share * 100.0)),
            number(count(operator.rows_in)),
            number(count(operator.rows)),
            number(micros(operator.cpu_us)),
            number(micros(operator.wasm_us)),
            number(bytes(operator.spilled_bytes)),
            text(operator.functions.join(", ")),
        ]
    });
    page.table("Its operators, each before its inputs", &header, rows);
}

fn tasks(page: &mut Page, export: &Export) {
    let embedded = export.columns.rows();
    if export.attempts_total > embedded {
        page.note(&format!(
            "This file has the first {} of {} attempts. `GET /api/v1/runs/{}/tasks` lists the tasks of all.",
            count(embedded),
            count(export.attempts_total),
            export.run.id
        ));
    }
    page.add("<div id=\"all-tasks\" hidden></div><div id=\"some-tasks\">");
    let left_out = export.tasks_total.saturating_sub(export.tasks.len() as u64);
    if left_out > 0 {
        page.note(&format!(
            "Here are the {MAX_TASKS} tasks that took longest, of {}. Where the script of this file may run, all of them \
             are here.",
            count(export.tasks_total)
        ));
    }
    let header = [
        "Task",
        "State",
        "Attempts",
        "Time",
        "Rows in",
        "Rows out",
        "Bytes in",
        "Bytes out",
        "Spilled",
        "Memory",
        "Failure",
        "Worker",
    ];
    page.add(format_args!(
        "<details{}><summary>{} tasks</summary>",
        if export.tasks.len() <= 50 { " open" } else { "" },
        count(export.tasks.len() as u64)
    ));
    page.table("Tasks", &header, export.tasks.iter().map(task));
    page.add("</details></div>");
}

fn task(task: &Task) -> Vec<Cell> {
    let attempt = &task.attempt;
    vec![
        text(format!("{}.{}", task.stage, task.task)),
        text(word(&task.state)),
        number(count(task.attempts.into())),
        number(micros(attempt.elapsed_us)),
        number(count(attempt.rows_in)),
        number(count(attempt.rows_out)),
        number(bytes(attempt.bytes_in)),
        number(bytes(attempt.bytes_out)),
        number(bytes(attempt.spilled_bytes)),
        number(bytes(attempt.peak_memory_bytes)),
        text(attempt.failure.clone().unwrap_or_default()),
        text(attempt.worker.clone().unwrap_or_default()),
    ]
}

fn configuration(page: &mut Page, export: &Export) {
    let run = &export.run;
    page.section("outputs", "Outputs", |page| {
        if run.outputs.is_empty() {
            page.add("<p class=\"empty\">It wrote none.</p>");
            return;
        }
        let rows = run.outputs.iter().map(|output| {
            vec![
                text(&*output.transform),
                number(count(output.files.len() as u64)),
                number(count(output.rows)),
                number(bytes(output.bytes)),
            ]
        });
        page.table("What became visible", &["Transform", "Files", "Rows", "Bytes"], rows);
    });
    page.section("configuration", "Configuration", |page| {
        let labels = run.labels.iter().map(|(key, value)| format!("{key}={value}"));
        page.definitions(&[
            ("Kind", word(&run.job)),
            ("Labels", labels.collect::<Vec<_>>().join(", ")),
            ("Modules", run.modules.keys().cloned().collect::<Vec<_>>().join(", ")),
            ("Trace", run.trace_id.clone().unwrap_or_default()),
        ]);
        let settings = serde_json::to_string_pretty(&run.settings).unwrap_or_default();
        page.add(format_args!("<pre>{}</pre>", Escaped(&settings)));
    });
}
