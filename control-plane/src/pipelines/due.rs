//! Which of its times a schedule deals with next.

use weir_model::Timestamp;

use super::Cron;
use crate::store::{CatchUp, ScheduleDefinition, ScheduleStatus};

/// Times that are looked at in one go; a schedule with more of them goes on where it was.
const LOOK: usize = 2_000;
/// Times that catch up with [`CatchUp::All`].
const MOST: usize = 100;
/// How late a run is made without catch-up, in seconds, unless the schedule says.
const PUNCTUAL_S: u64 = 60;

/// What a schedule has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The next of its times gets a run.
    Run,
    /// Times are left out.
    Skip {
        /// How many.
        times: u64,
        /// The last of them.
        last: Timestamp,
        /// The next time.
        next: Option<Timestamp>,
    },
}

/// What a schedule has to do whose next time, `at`, has come by `now`.
pub(crate) fn due(
    definition: &ScheduleDefinition,
    status: &ScheduleStatus,
    cron: &Cron,
    at: Timestamp,
    now: Timestamp,
) -> Due {
    if status.replacing_at == Some(at) {
        // What runs was cancelled for it.
        return Due::Run;
    }
    let first = std::iter::once(at);
    let come: Vec<Timestamp> = first
        .chain(cron.times_after(at))
        .take_while(|time| *time <= now)
        .take(LOOK)
        .collect();
    let (most, patience_s) = match definition.catch_up {
        CatchUp::None => (1, definition.start_deadline_s.or(Some(PUNCTUAL_S))),
        CatchUp::Latest => (1, definition.start_deadline_s),
        CatchUp::All => (MOST, definition.start_deadline_s),
    };
    let kept = come.len().saturating_sub(most);
    let late = |time: &Timestamp| patience_s.is_some_and(|s| time.plus_ms(s.saturating_mul(1_000)) < now);
    // Where more may follow, all but the last ones are left out, and the rest is looked at again.
    let skipped = match come.len() < LOOK {
        true => kept + come[kept..].iter().take_while(|time| late(time)).count(),
        false => kept,
    };
    match skipped.checked_sub(1).and_then(|last| come.get(last)) {
        None => Due::Run,
        Some(last) => Due::Skip {
            times: skipped as u64,
            last: *last,
            next: come.get(skipped).copied().or_else(|| cron.after(*last)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: u64 = 60_000;

    /// A schedule of every minute whose next time is minute zero.
    fn of_every_minute(catch_up: CatchUp, start_deadline_s: Option<u64>, now_ms: u64) -> Due {
        let definition = ScheduleDefinition {
            catch_up,
            start_deadline_s,
            ..ScheduleDefinition::default()
        };
        let cron = Cron::parse("* * * * *", "UTC").unwrap();
        let status = ScheduleStatus::default();
        due(&definition, &status, &cron, Timestamp(0), Timestamp(now_ms))
    }

    fn skip(times: u64) -> Due {
        Due::Skip {
            times,
            last: Timestamp((times - 1) * MINUTE_MS),
            next: Some(Timestamp(times * MINUTE_MS)),
        }
    }

    #[test]
    fn a_time_that_has_just_come_gets_a_run() {
        for catch_up in [CatchUp::None, CatchUp::Latest, CatchUp::All] {
            assert_eq!(of_every_minute(catch_up, None, 0), Due::Run);
            assert_eq!(of_every_minute(catch_up, Some(5), 5_000), Due::Run);
        }
    }

    #[test]
    fn missed_times_are_caught_up_with_as_the_schedule_says() {
        let now = 10 * MINUTE_MS + 30_000;
        assert_eq!(
            of_every_minute(CatchUp::None, None, now),
            skip(10),
            "the last one is on time"
        );
        assert_eq!(of_every_minute(CatchUp::None, Some(20), now), skip(11), "it is not");
        assert_eq!(of_every_minute(CatchUp::Latest, None, now), skip(10));
        assert_eq!(of_every_minute(CatchUp::Latest, Some(20), now), skip(11));
        assert_eq!(of_every_minute(CatchUp::All, None, now), Due::Run, "the first of them");
        assert_eq!(of_every_minute(CatchUp::All, Some(150), now), skip(8));
    }

    #[test]
    fn at_most_a_hundred_times_are_caught_up_with_however_long_it_was() {
        assert_eq!(of_every_minute(CatchUp::All, None, 149 * MINUTE_MS), skip(50));
        let month = 30 * 24 * 60 * MINUTE_MS;
        assert_eq!(of_every_minute(CatchUp::All, None, month), skip(LOOK as u64 - 100));
        assert_eq!(of_every_minute(CatchUp::None, None, month), skip(LOOK as u64 - 1));
    }

    #[test]
    fn what_was_cancelled_for_a_time_is_not_in_vain() {
        let cron = Cron::parse("* * * * *", "UTC").unwrap();
        let status = ScheduleStatus {
            replacing_at: Some(Timestamp(0)),
            ..ScheduleStatus::default()
        };
        let late = due(
            &ScheduleDefinition::default(),
            &status,
            &cron,
            Timestamp(0),
            Timestamp(3_600_000),
        );
        assert_eq!(late, Due::Run);
    }
}
