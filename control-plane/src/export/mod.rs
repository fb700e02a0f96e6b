//! A run as one HTML file: to be kept, mailed, or attached to a ticket, and read without a server and without a network.
//!
//! It is whole without scripts, but for the table of very many tasks. All attempts are in there as well, as columns: where
//! scripts run, the page sorts and chooses tasks by them.
//!
//! **Invariants.** Whatever users chose (names, messages, labels, failures) is escaped. The file refers to nothing outside
//! of itself, and its content security policy allows nothing but its own style sheet and script. What is left out is said.

mod columns;
mod format;
mod page;
mod timeline;

use weir_model::{AttemptRow, AttemptTable, TaskRow};

use self::columns::Columns;
use crate::history::{self, History, Summary};
use crate::http::resources::{Attempt, FindingList, Run, StageProfile, Task};

pub use columns::MAX_EMBEDDED;

/// Tasks of the table that needs no script: of a run with more, those that took longest.
pub const MAX_TASKS: usize = 1_000;
/// Attempts of the timeline: of a run with more, those that took longest.
pub const MAX_ATTEMPTS: usize = 3_000;

/// Pages of attempts that are looked at together.
const PAGES: usize = 4;

/// What the file shows.
#[derive(Clone, Debug)]
pub struct Export {
    /// The run.
    pub run: Run,
    /// Its stages.
    pub stages: Vec<StageProfile>,
    /// What is worth a look in it.
    pub findings: FindingList,
    /// Tasks, in order of stage and index.
    pub tasks: Vec<Task>,
    /// Tasks that there are.
    pub tasks_total: u64,
    /// Attempts, in the order in which they were dispatched.
    pub attempts: Vec<Attempt>,
    /// Attempts that there are.
    pub attempts_total: u64,
    /// All of them, as columns.
    columns: Columns,
}

impl Export {
    /// A run with the attempts of its tasks, as far as they are shown.
    pub fn new(run: Run, stages: Vec<StageProfile>, findings: FindingList, table: &AttemptTable) -> Self {
        let mut shown = Shown::default();
        let tasks = TaskRow::of(table.rows());
        shown.add(
            table.rows(),
            tasks.iter().map(|task| (task.place, task.attempts, task.failed)),
        );
        shown.of(run, stages, findings)
    }

    /// The file.
    pub fn to_html(&self) -> String {
        page::page(self)
    }
}

/// Chooses what is shown of tasks and attempts, which may be very many.
#[derive(Debug, Default)]
pub struct Shown {
    tasks: Vec<Task>,
    tasks_total: u64,
    attempts: Vec<Attempt>,
    attempts_total: u64,
    columns: Columns,
}

impl Shown {
    /// Adds attempts that follow those before; `tasks` are the places of those that speak for their tasks, with the tasks'
    /// attempts and how many of them failed.
    pub fn add(&mut self, rows: &[AttemptRow], tasks: impl IntoIterator<Item = (usize, u32, u32)>) {
        let mut speaks: Vec<Option<(u32, u32)>> = vec![None; rows.len()];
        for (place, attempts, failed) in tasks {
            speaks[place] = Some((attempts, failed));
        }
        for (row, speaks) in rows.iter().zip(speaks) {
            if let Some((attempts, failed)) = speaks {
                self.add_task(row, attempts, failed);
            }
            self.add_attempt(row);
            self.columns.add(row, speaks);
        }
    }

    /// Adds a task by the attempt that speaks for it.
    fn add_task(&mut self, attempt: &AttemptRow, attempts: u32, failed: u32) {
        self.tasks_total += 1;
        self.tasks.push(Task::new(attempt, attempts, failed));
        // Sorted now and then, so that each costs little.
        if self.tasks.len() >= 2 * MAX_TASKS {
            self.keep_tasks();
        }
    }

    /// Adds an attempt.
    fn add_attempt(&mut self, attempt: &AttemptRow) {
        self.attempts_total += 1;
        self.attempts.push(attempt.into());
        if self.attempts.len() >= 2 * MAX_ATTEMPTS {
            self.keep_attempts();
        }
    }

    /// The file's contents.
    pub fn of(mut self, run: Run, stages: Vec<StageProfile>, findings: FindingList) -> Export {
        self.keep_tasks();
        self.keep_attempts();
        self.tasks.sort_by_key(|task| (task.stage, task.task));
        self.attempts
            .sort_by_key(|attempt| (attempt.dispatched_at, attempt.stage, attempt.task, attempt.attempt));
        Export {
            run,
            stages,
            findings,
            tasks: self.tasks,
            tasks_total: self.tasks_total,
            attempts: self.attempts,
            attempts_total: self.attempts_total,
            columns: self.columns,
        }
    }

    fn keep_tasks(&mut self) {
        if self.tasks.len() > MAX_TASKS {
            self.tasks
                .sort_by_key(|task| std::cmp::Reverse(task.attempt.elapsed_us));
            self.tasks.truncate(MAX_TASKS);
        }
    }

    fn keep_attempts(&mut self) {
        if self.attempts.len() > MAX_ATTEMPTS {
            self.attempts
                .sort_by_key(|attempt| std::cmp::Reverse(length_ms(attempt)));
            self.attempts.truncate(MAX_ATTEMPTS);
        }
    }
}

/// A run that is over, with its attempts as they are in its history.
///
/// # Errors
/// When they cannot be read.
pub async fn of_history(
    history: &History,
    summary: &Summary,
    run: Run,
    stages: Vec<StageProfile>,
    findings: FindingList,
) -> Result<Export, history::Error> {
    let mut shown = Shown::default();
    let pages: Vec<usize> = (0..summary.attempts.len()).collect();
    for some in pages.chunks(PAGES) {
        for page in history.attempts(summary, some).await? {
            let tasks = page.tasks.iter().map(|task| (task.place, task.attempts, task.failed));
            shown.add(&page.rows, tasks);
        }
    }
    Ok(shown.of(run, stages, findings))
}

/// How long an attempt had its slot, in milliseconds; zero when no worker took it, or when it is not over.
fn length_ms(attempt: &Attempt) -> u64 {
    match (attempt.started_at, attempt.finished_at) {
        (Some(from), Some(to)) => to.0.ms_since(from.0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
