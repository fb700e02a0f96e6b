//! Live progress on a terminal.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use weir_model::{RunPhase, RunSnapshot, StageId, StagePhase, StageSnapshot};

use crate::format;

/// Stages beyond this many are counted, not drawn.
const DRAWN_STAGES: usize = 20;

/// One line per stage that has started; nothing where stderr is not a terminal.
pub(crate) struct Progress {
    lines: Option<MultiProgress>,
    head: Option<ProgressBar>,
    stages: BTreeMap<StageId, ProgressBar>,
}

impl Progress {
    /// Starts drawing when stderr is a terminal.
    pub(crate) fn start() -> Self {
        let lines = std::io::stderr().is_terminal().then(MultiProgress::new);
        Self {
            lines,
            head: None,
            stages: BTreeMap::new(),
        }
    }

    /// Draws a snapshot.
    pub(crate) fn update(&mut self, run: &RunSnapshot) {
        let Some(lines) = &self.lines else { return };
        let head = self.head.get_or_insert_with(|| {
            let bar = lines.add(ProgressBar::new_spinner());
            bar.set_style(style("{spinner} {msg} {elapsed:.dim}"));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        let phase = match run.phase {
            RunPhase::Planning => "planning",
            RunPhase::Running => "running",
            RunPhase::Committing => "committing",
            RunPhase::Stopping => "stopping",
            RunPhase::Finished => "finished",
        };
        let done = run
            .stages
            .iter()
            .filter(|stage| stage.phase == StagePhase::Completed)
            .count();
        head.set_message(format!("{} {phase}, {done}/{} stages", run.name, run.stages.len()));
        for stage in run
            .stages
            .iter()
            .filter(|stage| stage.phase != StagePhase::Waiting)
            .take(DRAWN_STAGES)
        {
            let bar = self.stages.entry(stage.id).or_insert_with(|| {
                let bar = lines.add(ProgressBar::new(u64::from(stage.tasks)));
                bar.set_style(style("  {bar:20.cyan/dim} {pos:>4}/{len:<4} {msg}"));
                bar
            });
            bar.set_length(u64::from(stage.tasks));
            bar.set_position(u64::from(stage.done));
            bar.set_message(stage_line(stage));
        }
    }

    /// Lets `print` write to stderr between the lines.
    pub(crate) fn print(&self, print: impl FnOnce()) {
        match &self.lines {
            Some(lines) => lines.suspend(print),
            None => print(),
        }
    }

    /// Takes the lines off the screen.
    pub(crate) fn clear(&mut self) {
        if let Some(lines) = &self.lines {
            // A terminal that went away is no reason to fail the run.
            let _ = lines.clear();
        }
    }
}

fn stage_line(stage: &StageSnapshot) -> String {
    format!(
        "stage {} {}: {} rows in, {} rows out, {}",
        stage.id,
        stage.name,
        format::count(stage.rows_in),
        format::count(stage.rows_out),
        format::bytes(stage.bytes_out)
    )
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is a constant")
}
