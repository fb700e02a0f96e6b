//! The times of schedules.

use chrono::{DateTime, Duration, MappedLocalTime, NaiveDateTime, TimeZone as _, Utc};
use chrono_tz::Tz;
use croner::parser::{CronParser, Seconds, Year};
use weir_model::Timestamp;

/// Bytes of an expression.
const MAX_EXPRESSION: usize = 200;
/// More than a clock was ever put forward by: where the date line was moved, a day.
const MAX_GAP: Duration = Duration::hours(36);

/// A cron expression makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum InvalidCron {
    /// It cannot be read.
    #[error(
        "`{expression}` is not a cron expression: {problem}. Give minute, hour, day of the month, month and day of the \
         week, such as `30 6 * * MON-FRI`, or a word such as `@daily`"
    )]
    Expression {
        /// What was given.
        expression: String,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no such time zone.
    #[error("`{time_zone}` is not an IANA time zone, such as `Europe/Berlin` or `UTC`")]
    TimeZone {
        /// What was given.
        time_zone: String,
    },
    /// It has no time.
    #[error("`{expression}` has no time: no year has such a day")]
    Never {
        /// What was given.
        expression: String,
    },
}

/// A cron expression in a time zone: minute, hour, day of the month, month, day of the week.
///
/// Where a clock goes forward, times of day that it skips come at the first moment after the gap, all as one; where it
/// goes back, a time of day that it shows twice comes once, the first time. What comes all the time (`*` or `*/5` as the
/// minute or the hour) follows the clock instead: nothing for what is skipped, and twice what is shown twice.
#[derive(Clone, Debug)]
pub struct Cron {
    times: croner::Cron,
    zone: Tz,
    /// Whether it comes all the time.
    follows_clock: bool,
}

impl Cron {
    /// Reads an expression, or a word such as `@hourly`, and a time zone.
    pub fn parse(expression: &str, time_zone: &str) -> Result<Self, InvalidCron> {
        let invalid = |problem: String| InvalidCron::Expression {
            expression: expression.chars().take(MAX_EXPRESSION).collect(),
            problem,
        };
        let zone = time_zone.parse::<Tz>().map_err(|_| InvalidCron::TimeZone {
            time_zone: time_zone.chars().take(MAX_EXPRESSION).collect(),
        })?;
        if expression.len() > MAX_EXPRESSION {
            return Err(invalid(format!("it is longer than {MAX_EXPRESSION} bytes")));
        }
        let expression = match expression.trim() {
            "@midnight" => "@daily",
            other => other,
        };
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let times = parser
            .parse(expression)
            .map_err(|error| invalid(error.to_string().trim_end_matches('.').to_owned()))?;
        let follows_clock = times
            .as_str()
            .split_whitespace()
            .take(2)
            .any(|field| field.contains('*'));
        Ok(Self {
            times,
            zone,
            follows_clock: follows_clock || expression.eq_ignore_ascii_case("@hourly"),
        })
    }

    /// The first time after `at`; nothing when there is none.
    pub fn after(&self, at: Timestamp) -> Option<Timestamp> {
        let at = DateTime::<Utc>::from_timestamp_millis(i64::try_from(at.0).ok()?)?;
        let at = at.with_timezone(&self.zone);
        let next = match self.follows_clock {
            true => self.times.find_next_occurrence(&at, false).ok()?,
            false => self.after_by_time_of_day(&at)?,
        };
        u64::try_from(next.timestamp_millis()).ok().map(Timestamp)
    }

    /// As [`after`](Self::after), where a time is wanted.
    pub fn first_after(&self, at: Timestamp) -> Result<Timestamp, InvalidCron> {
        self.after(at).ok_or_else(|| InvalidCron::Never {
            expression: self.times.as_str().to_owned(),
        })
    }

    /// In words, in English.
    pub fn describe(&self) -> String {
        self.times.describe()
    }

    /// The times after `at`, in order.
    pub fn times_after(&self, at: Timestamp) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.after(at), |last| self.after(*last))
    }

    /// The first moment after `at` that stands for one of the times of day.
    fn after_by_time_of_day(&self, at: &DateTime<Tz>) -> Option<DateTime<Tz>> {
        // Times of day as such, in a zone whose clock is never changed. Those that `at` has behind it stand for no later
        // moment: the first showing counts.
        let mut wall = at.naive_local().and_utc();
        loop {
            wall = self.times.find_next_occurrence(&wall, false).ok()?;
            let moment = self.moment(wall.naive_utc())?;
            // Skipped ones stand for the same moment, and those that are shown again for one that is over.
            if moment > *at {
                return Some(moment);
            }
        }
    }

    /// The first moment at which the clock of the zone shows a time, or has skipped it.
    fn moment(&self, wall: NaiveDateTime) -> Option<DateTime<Tz>> {
        match self.zone.from_local_datetime(&wall) {
            MappedLocalTime::Single(moment) | MappedLocalTime::Ambiguous(moment, _) => Some(moment),
            MappedLocalTime::None => self.end_of_gap(wall),
        }
    }

    /// The first moment after a gap of the clock, by a time in it.
    fn end_of_gap(&self, wall: NaiveDateTime) -> Option<DateTime<Tz>> {
        let second = |wall: NaiveDateTime| Some(self.zone.from_local_datetime(&wall).earliest()?.timestamp());
        let at = |second: i64| Some(DateTime::from_timestamp_secs(second)?.with_timezone(&self.zone));
        // It lies between a moment before the gap and one after it.
        let (mut before, mut after) = (second(wall - MAX_GAP)?, second(wall + MAX_GAP)?);
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            match at(middle)?.naive_local() < wall {
                true => before = middle,
                false => after = middle,
            }
        }
        at(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let time = DateTime::parse_from_rfc3339(text).unwrap();
        Timestamp(u64::try_from(time.timestamp_millis()).unwrap())
    }

    #[track_caller]
    fn check(expression: &str, zone: &str, from: &str, expected: &[&str]) {
        let cron = Cron::parse(expression, zone).unwrap();
        let times: Vec<_> = cron.times_after(at(from)).take(expected.len()).collect();
        let expected: Vec<_> = expected.iter().map(|text| at(text)).collect();
        assert_eq!(times, expected, "{expression} in {zone} after {from}");
    }

    #[test]
    fn times_follow_the_clock_of_the_zone() {
        check(
            "30 6 * * MON-FRI",
            "Europe/Berlin",
            "2026-01-02T05:30:00Z",
            &["2026-01-05T05:30:00Z", "2026-01-06T05:30:00Z"],
        );
        check(
            "@daily",
            "America/New_York",
            "2026-07-01T00:00:00Z",
            &["2026-07-01T04:00:00Z"],
        );
        check("@midnight", "UTC", "2026-07-01T00:00:00Z", &["2026-07-02T00:00:00Z"]);
        check("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", &["2028-02-29T00:00:00Z"]);
        check("0 12 L * *", "UTC", "2026-02-01T00:00:00Z", &["2026-02-28T12:00:00Z"]);
    }

    #[test]
    fn a_time_that_the_clock_skips_comes_right_after_the_gap() {
        // From 2:00 to 3:00 on the 29th of March.
        check(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T00:00:00Z",
            &["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
        );
        check(
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-03-29T00:15:00Z",
            &["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"],
        );
    }

    #[test]
    fn times_that_the_clock_skips_come_as_one() {
        let after_gap = "2026-03-29T01:00:00Z";
        for (expression, following) in [
            ("0,30 2 * * *", "2026-03-30T00:00:00Z"),
            ("10-50/10 2 * * *", "2026-03-30T00:10:00Z"),
            ("30 2,3 * * *", "2026-03-29T01:30:00Z"),
            ("30 1-4 * * *", "2026-03-29T01:30:00Z"),
            ("0 2-3 * * *", "2026-03-30T00:00:00Z"),
        ] {
            check(
                expression,
                "Europe/Berlin",
                "2026-03-29T00:45:00Z",
                &[after_gap, following],
            );
        }
        // By half an hour, at midnight, and by a whole day.
        check(
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T12:00:00Z",
            &["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"],
        );
        check(
            "@daily",
            "Africa/Cairo",
            "2027-04-29T12:00:00Z",
            &["2027-04-29T22:00:00Z", "2027-04-30T21:00:00Z"],
        );
        check(
            "0 9,12 * * *",
            "Pacific/Apia",
            "2011-12-29T20:00:00Z",
            &["2011-12-29T22:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T19:00:00Z"],
        );
        check(
            "*/20 2 * * *",
            "Europe/Berlin",
            "2026-03-28T01:00:00Z",
            &["2026-03-28T01:20:00Z", "2026-03-28T01:40:00Z", "2026-03-30T00:00:00Z"],
        );
    }

    #[test]
    fn a_time_that_the_clock_shows_twice_comes_once() {
        // From 3:00 back to 2:00 on the 25th of October.
        check(
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00:00Z",
            &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
        );
        for (expression, times) in [
            (
                "0,30 2 * * *",
                ["2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:00:00Z"],
            ),
            (
                "30 1-3 * * *",
                ["2026-10-24T23:30:00Z", "2026-10-25T00:30:00Z", "2026-10-25T02:30:00Z"],
            ),
        ] {
            check(expression, "Europe/Berlin", "2026-10-24T12:00:00Z", &times);
            // The second half past two.
            check(expression, "Europe/Berlin", "2026-10-25T01:10:00Z", &times[2..]);
        }
        check(
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-10-24T23:45:00Z",
            &[
                "2026-10-25T00:00:00Z",
                "2026-10-25T00:30:00Z",
                "2026-10-25T01:00:00Z",
                "2026-10-25T01:30:00Z",
                "2026-10-25T02:00:00Z",
            ],
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = |expression: &str, zone: &str| Cron::parse(expression, zone).unwrap_err().to_string();
        for expression in [
            "",
            "* * * *",
            "* * * * * *",
            "61 * * * *",
            "* * * * MOO",
            "@sometimes",
            &"1,".repeat(500),
        ] {
            let text = refused(expression, "UTC");
            assert!(text.contains("cron expression"), "{expression}: {text}");
        }
        assert!(!refused("* * * *", "UTC").contains(".."), "sentences end once");
        assert!(refused("@daily", "Mars/Olympus").contains("Mars/Olympus"));
        let never = Cron::parse("0 0 30 2 *", "UTC").unwrap();
        let refused = never.first_after(at("2026-01-01T00:00:00Z")).unwrap_err();
        assert!(matches!(refused, InvalidCron::Never { .. }), "{refused}");
        assert_eq!(never.after(Timestamp(u64::MAX)), None);
    }
}
