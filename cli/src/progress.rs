//! Live progress on a terminal.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use weir_control_plane::http::resources::{Run, RunState, Stage, StageState};
use weir_model::{RunPhase, RunSnapshot};

use crate::format;

/// Stages beyond this many are counted, not drawn.
const DRAWN_STAGES: usize = 20;

/// One line per stage that has started; nothing where stderr is not a terminal.
pub(crate) struct Progress {
    lines: Option<MultiProgress>,
    head: Option<ProgressBar>,
    stages: BTreeMap<u32, ProgressBar>,
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

    /// Draws a run of this process.
    pub(crate) fn update_snapshot(&mut self, run: &RunSnapshot) {
        if self.lines.is_some() {
            let stages: Vec<Stage> = run.stages.iter().map(Stage::from).collect();
            let phase = match run.phase {
                RunPhase::Planning => "planning",
                RunPhase::Running => "running",
                RunPhase::Paused => "paused",
                RunPhase::Committing => "committing",
                RunPhase::Stopping => "stopping",
                RunPhase::Finished => "finished",
            };
            self.draw(&run.name, phase, &stages);
        }
    }

    /// Draws a run.
    pub(crate) fn update(&mut self, run: &Run) {
        let state = match run.state {
            RunState::Queued => "queued",
            RunState::Planning => "planning",
            RunState::Running => "running",
            RunState::Paused => "paused",
            RunState::Committing => "committing",
            RunState::Stopping => "stopping",
            RunState::Finished => "finished",
        };
        self.draw(&run.name, state, &run.stages);
    }

    fn draw(&mut self, name: &str, state: &str, stages: &[Stage]) {
        let Some(lines) = &self.lines else { return };
        let head = self.head.get_or_insert_with(|| {
            let bar = lines.add(ProgressBar::new_spinner());
            bar.set_style(style("{spinner} {msg} {elapsed:.dim}"));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        let done = stages
            .iter()
            .filter(|stage| stage.state == StageState::Completed)
            .count();
        head.set_message(format!("{name} {state}, {done}/{} stages", stages.len()));
        let started = stages.iter().filter(|stage| stage.state != StageState::Waiting);
        for stage in started.take(DRAWN_STAGES) {
            let bar = self.stages.entry(stage.id).or_insert_with(|| {
                let bar = lines.add(ProgressBar::new(u64::from(stage.tasks)));
                bar.set_style(style("  {bar:20.cyan/dim} {pos:>4}/{len:<4} {msg}"));
                bar
            });
            bar.set_length(u64::from(stage.tasks));
            bar.set_position(u64::from(stage.tasks_done));
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

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn stage_line(stage: &Stage) -> String {
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
