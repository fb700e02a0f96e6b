//! Numbers and times as people write and read them.

use weir_model::Timestamp;
use weir_platform::clock;

/// Reads `512`, `64KiB`, `1.5 GiB`, `2GB`.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "ki" | "kib" => 1024.0,
        "mi" | "mib" => 1024.0 * 1024.0,
        "gi" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "ti" | "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        other => return Err(format!("unknown unit `{other}`; use B, KiB, MiB, GiB or TiB")),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| format!("`{text}` is not a size such as 512MiB"))?;
    let bytes = number * factor;
    if bytes >= 1.0 && bytes < u64::MAX as f64 {
        Ok(bytes as u64)
    } else {
        Err(format!("`{text}` is out of range"))
    }
}

/// Reads `2026-01-02T03:04:05Z`, `2026-01-02`, or how long ago: `90m`, `12h`, `7d`.
pub(crate) fn parse_time(text: &str) -> Result<Timestamp, String> {
    parse_time_at(text, clock::now())
}

fn parse_time_at(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let wrong = || format!("`{text}` is no time such as `2026-01-02T03:04:05Z`, `2026-01-02` or `12h` (ago)");
    let text = text.trim();
    let unit = match text.chars().last() {
        Some('s') => Some(1_000),
        Some('m') => Some(60_000),
        Some('h') => Some(3_600_000),
        Some('d') => Some(86_400_000),
        _ => None,
    };
    if let Some(unit) = unit {
        let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
        return Ok(Timestamp(now.0.saturating_sub(number.saturating_mul(unit))));
    }
    let day = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").map(|day| day.and_time(chrono::NaiveTime::MIN));
    let time = match day {
        Ok(midnight) => midnight.and_utc(),
        Err(_) => chrono::DateTime::parse_from_rfc3339(text)
            .map_err(|_| wrong())?
            .to_utc(),
    };
    Ok(Timestamp(u64::try_from(time.timestamp_millis()).unwrap_or(0)))
}

/// `1.4 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `12 ms`, `3.4 s`, `2 min 5 s`, `1 h 2 min`.
pub(crate) fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{:.1} s", ms as f64 / 1e3),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
        _ => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

/// `2026-01-02 03:04:05Z`.
pub(crate) fn time(at: weir_model::Timestamp) -> String {
    match i64::try_from(at.0)
        .ok()
        .and_then(chrono::DateTime::from_timestamp_millis)
    {
        Some(time) => time.format("%Y-%m-%d %H:%M:%SZ").to_string(),
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_moments_or_so_long_ago() {
        let at = |text: &str| parse_time_at(text, Timestamp(1_767_323_045_000)).map(time);
        for (text, expected) in [
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
            ("2026-01-02T04:04:05+01:00", "2026-01-02T03:04:05Z"),
            ("2026-01-02", "2026-01-02T00:00:00Z"),
            ("30m", "2026-01-02T02:34:05Z"),
            ("1d", "2026-01-01T03:04:05Z"),
            ("99999999999d", "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(at(text), parse_time_at(expected, Timestamp(0)).map(time), "{text}");
        }
        for text in ["", "d", "-1d", "yesterday", "2026-13-01", "12", "é"] {
            assert!(at(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_read_and_print() {
        assert_eq!(parse_bytes("512"), Ok(512));
        assert_eq!(parse_bytes("1.5 GiB"), Ok(1_610_612_736));
        assert_eq!(parse_bytes("2GB"), Ok(2_000_000_000));
        assert!(parse_bytes("lots").is_err());
        assert!(parse_bytes("0").is_err());
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1_610_612_736), "1.5 GiB");
    }

    #[test]
    fn counts_and_times_print() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(duration(61_000), "1 min 1 s");
        assert_eq!(time(Timestamp(951_782_400_000)), "2000-02-29 00:00:00Z");
        assert_eq!(time(Timestamp(1_767_225_599_999)), "2025-12-31 23:59:59Z");
    }
}
