//! What went wrong: rows that do not add up, attempts that failed, rows that were refused.

use super::{in_stage, named, worst};
use crate::findings::text::{count, percent};
use crate::findings::{Finding, FindingCode, REFUSED_ROWS_MAX_SHARE, RETRIES_WARNING_SHARE, Severity, Unit};
use crate::profile::{RunProfile, Verdict};

/// The code of failures of tasks that were set aside.
const DEAD_LETTER: &str = "poison_task";

pub(super) fn rows_not_conserved(profile: &RunProfile, found: &mut Vec<Finding>) {
    worst(profile, found, |stage| {
        let rows = &stage.conservation;
        let (what, metric, value, threshold) = if rows.exchange == Verdict::Broken {
            let read = rows.rows_taken.saturating_add(rows.rows_unread);
            (
                format!(
                    "{} were written for it, and it read {read}",
                    count(rows.rows_offered, "row")
                ),
                "rows_taken",
                read,
                rows.rows_offered,
            )
        } else if rows.inside == Verdict::Broken {
            let gone = rows.rows_out.saturating_add(rows.rows_dropped);
            (
                format!(
                    "it read {}, wrote {} and dropped {}",
                    count(rows.rows_in, "row"),
                    rows.rows_out,
                    rows.rows_dropped
                ),
                "rows_out",
                gone,
                rows.rows_in,
            )
        } else if rows.commit == Verdict::Broken {
            let committed = rows.rows_committed.unwrap_or_default();
            (
                format!(
                    "it wrote {}, and {committed} became visible",
                    count(rows.rows_out, "row")
                ),
                "rows_committed",
                committed,
                rows.rows_out,
            )
        } else {
            return None;
        };
        let finding = Finding {
            code: FindingCode::RowsNotConserved,
            severity: Severity::Error,
            title: format!("Rows of {} do not add up", named(stage)),
            detail: format!("Of {}: {what}.", named(stage)),
            evidence: in_stage(stage, metric, value as f64, threshold as f64, Unit::Count),
            fix: "Do not use the output. This is a bug of weir: please report it with the run's events.".to_owned(),
        };
        Some((value.abs_diff(threshold) as f64, finding))
    });
}

pub(super) fn dead_letters(profile: &RunProfile, found: &mut Vec<Finding>) {
    worst(profile, found, |stage| {
        let number = stage.attempts.failures.get(DEAD_LETTER).copied().unwrap_or(0);
        (number > 0).then(|| {
            let finding = Finding {
                code: FindingCode::DeadLetters,
                severity: Severity::Error,
                title: format!(
                    "{} of {} ended whoever ran it",
                    count(number.into(), "task"),
                    named(stage)
                ),
                detail: format!(
                    "{} set aside: no worker that took it ever said anything about it again.",
                    match number {
                        1 => "1 task was".to_owned(),
                        number => format!("{number} tasks were"),
                    }
                ),
                evidence: in_stage(stage, "attempts.failures.poison_task", number.into(), 0.0, Unit::Count),
                fix: "Look for workers that were killed for using too much memory; give workers more memory or fewer \
                      slots, or split the stage into more tasks."
                    .to_owned(),
            };
            (f64::from(number), finding)
        })
    });
}

pub(super) fn retries(profile: &RunProfile, found: &mut Vec<Finding>) {
    worst(profile, found, |stage| {
        let attempts = &stage.attempts;
        let again = attempts.failed.saturating_add(stage.reopened);
        // What fails once and ends the run is the run's reason, not a finding.
        if again == 0 || attempts.retries == 0 {
            return None;
        }
        let share = f64::from(again) / f64::from(attempts.dispatched.max(1));
        let (code, _) = attempts.failures.iter().max_by_key(|(_, count)| **count).unzip();
        let codes: Vec<String> = attempts
            .failures
            .iter()
            .map(|(code, count)| format!("`{code}`: {count}"))
            .collect();
        let finding = Finding {
            code: FindingCode::Retries,
            severity: match share > RETRIES_WARNING_SHARE {
                true => Severity::Warning,
                false => Severity::Info,
            },
            title: format!(
                "{} of {} were made again",
                count(attempts.retries.into(), "attempt"),
                named(stage)
            ),
            detail: format!(
                "{} failed ({}){}.",
                count(attempts.failed.into(), "attempt"),
                match codes.is_empty() {
                    true => "none said why".to_owned(),
                    false => codes.join(", "),
                },
                match stage.reopened {
                    0 => String::new(),
                    lost => format!(
                        ", and {} ran again since what it had written was lost",
                        count(lost.into(), "task")
                    ),
                }
            ),
            evidence: in_stage(stage, "attempts.failed", again.into(), 0.0, Unit::Count),
            fix: match code.map(String::as_str) {
                Some("attempt_lost") => {
                    "Workers went away without a word: look for processes that were killed for using too much memory, \
                     and for interrupted spot capacity."
                }
                Some("out_of_memory") => "Give workers more memory or fewer slots, or raise `target_partitions`.",
                _ => "Look at the failed attempts of the stage: each says what failed and on which worker.",
            }
            .to_owned(),
        };
        Some((share, finding))
    });
}

pub(super) fn refused_rows(profile: &RunProfile, found: &mut Vec<Finding>) {
    worst(profile, found, |stage| {
        let rows = &stage.conservation;
        // Rows that the pipeline makes itself are read from nowhere.
        let all = rows.rows_in.max(rows.rows_out).max(rows.rows_refused);
        let share = rows.rows_refused as f64 / all.max(1) as f64;
        (share > REFUSED_ROWS_MAX_SHARE).then(|| {
            let finding = Finding {
                code: FindingCode::RefusedRows,
                severity: Severity::Warning,
                title: format!("{} of {} were refused", count(rows.rows_refused, "row"), named(stage)),
                detail: format!(
                    "Functions and expressions refused {} of {}.",
                    percent(share),
                    count(all, "row")
                ),
                evidence: in_stage(
                    stage,
                    "conservation.rows_refused",
                    share,
                    REFUSED_ROWS_MAX_SHARE,
                    Unit::Share,
                ),
                fix: "Read the output for errors (`error_handling` of the transform): each row there says why it was \
                      refused."
                    .to_owned(),
            };
            (rows.rows_refused as f64, finding)
        })
    });
}
