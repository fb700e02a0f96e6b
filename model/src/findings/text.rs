//! Numbers as people read them.

/// Bytes, such as `1.5 GiB`.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1 << 10 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// A time, such as `1.5 s` or `2 min 5 s`.
pub(super) fn micros(us: u64) -> String {
    match us {
        0..1_000_000 => format!("{} ms", us / 1_000),
        1_000_000..60_000_000 => format!("{:.1} s", us as f64 / 1e6),
        60_000_000..3_600_000_000 => format!("{} min {} s", us / 60_000_000, us / 1_000_000 % 60),
        _ => format!("{} h {} min", us / 3_600_000_000, us / 60_000_000 % 60),
    }
}

/// A share, such as `42 %`. What is not all does not read as all.
pub(super) fn percent(share: f64) -> String {
    match share {
        share if share < 0.001 => "less than 0.1 %".to_owned(),
        share if share < 0.1 => format!("{:.1} %", share * 100.0),
        share if share < 1.0 => format!("{:.0} %", (share * 100.0).min(99.0)),
        share => format!("{:.0} %", share * 100.0),
    }
}

/// A number of things, such as `1 task` or `3 tasks`.
pub(super) fn count(number: u64, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        number => format!("{number} {thing}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(
            [bytes(17), bytes(1 << 10), bytes(3 << 29)],
            ["17 B", "1.0 KiB", "1.5 GiB"]
        );
        assert_eq!(
            [
                micros(250_000),
                micros(1_500_000),
                micros(125_000_000),
                micros(3_660_000_000)
            ],
            ["250 ms", "1.5 s", "2 min 5 s", "1 h 1 min"]
        );
        assert_eq!(
            [
                percent(0.0001),
                percent(0.021),
                percent(0.42),
                percent(0.9999),
                percent(1.0)
            ],
            ["less than 0.1 %", "2.1 %", "42 %", "99 %", "100 %"]
        );
        assert_eq!([count(1, "task"), count(2, "task")], ["1 task", "2 tasks"]);
    }
}
