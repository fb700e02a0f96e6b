//! What a plain scalar means in YAML 1.1, as PyYAML's safe loader has it.
//!
//! Beam reads pipelines with that loader, so `header: no` is a boolean, `010` is eight, `1e3` is a string and `1:30`
//! is ninety. The one departure: timestamps stay strings, see [`Value`](super::Value).

use super::Value;

/// The value of a plain scalar without a tag.
///
/// # Errors
/// A message when it is an integer that does not fit into 64 bits.
pub(super) fn resolve(text: &str) -> Result<Value, String> {
    if let Some(value) = null(text).or_else(|| boolean(text)) {
        return Ok(value);
    }
    if let Some(integer) = integer(text) {
        return integer;
    }
    Ok(float(text).unwrap_or_else(|| Value::String(text.to_owned())))
}

/// The value of a scalar with a tag of YAML's own, such as `str` for `!!str`; nothing for a tag that is not supported.
pub(super) fn construct(tag: &str, text: &str) -> Option<Result<Value, String>> {
    let constructed = match tag {
        "str" => return Some(Ok(Value::String(text.to_owned()))),
        "null" => return Some(Ok(Value::Null)),
        "bool" => boolean(text).map(Ok),
        "int" => integer(text),
        "float" => float(text).or_else(|| text.parse().ok().map(Value::Float)).map(Ok),
        _ => return None,
    };
    Some(constructed.unwrap_or_else(|| Err(format!("`{text}` is not a value of the YAML tag `!!{tag}`"))))
}

fn null(text: &str) -> Option<Value> {
    matches!(text, "" | "~" | "null" | "Null" | "NULL").then_some(Value::Null)
}

fn boolean(text: &str) -> Option<Value> {
    match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(Value::Bool(true)),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(Value::Bool(false)),
        _ => None,
    }
}

/// Sign and rest.
fn signed(text: &str) -> (bool, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

fn integer(text: &str) -> Option<Result<Value, String>> {
    let (negative, digits) = signed(text);
    let magnitude = magnitude(digits)?;
    let value = magnitude.and_then(|magnitude| {
        if negative {
            0i64.checked_sub_unsigned(magnitude)
        } else {
            i64::try_from(magnitude).ok()
        }
    });
    Some(
        value
            .map(Value::Int)
            .ok_or_else(|| format!("the integer {text} does not fit into 64 bits; put quotes around it if it is text")),
    )
}

/// The outer option is whether it is an integer, the inner whether it fits.
fn magnitude(digits: &str) -> Option<Option<u64>> {
    let radix = |digits: &str, radix: u32| {
        let plain: String = digits.chars().filter(|c| *c != '_').collect();
        let valid = !digits.is_empty() && plain.chars().all(|c| c.is_digit(radix));
        // PyYAML takes `0x_` for an integer and then fails on it.
        (valid && !plain.is_empty()).then(|| u64::from_str_radix(&plain, radix).ok())
    };
    if let Some(digits) = digits.strip_prefix("0b") {
        return radix(digits, 2);
    }
    if let Some(digits) = digits.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if digits == "0" {
        return Some(Some(0));
    }
    if let Some(digits) = digits.strip_prefix('0') {
        return radix(digits, 8);
    }
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut parts = digits.split(':');
    let first = radix(parts.next()?, 10)?;
    parts.try_fold(first, |total, part| {
        let part = sixtieth(part)?;
        Some(total.and_then(|total| total.checked_mul(60)?.checked_add(part)))
    })
}

/// A part of a number in base sixty: `[0-5]?[0-9]`.
fn sixtieth(part: &str) -> Option<u64> {
    let valid = matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']);
    valid.then(|| part.parse().ok())?
}

fn float(text: &str) -> Option<Value> {
    let (negative, digits) = signed(text);
    let sign = if negative { -1.0 } else { 1.0 };
    match digits {
        ".inf" | ".Inf" | ".INF" => return Some(Value::Float(sign * f64::INFINITY)),
        ".nan" | ".NaN" | ".NAN" if digits == text => return Some(Value::Float(f64::NAN)),
        _ => {}
    }
    let is_digits = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == '_');
    let (whole, rest) = digits.split_once('.')?;
    let mut leading = whole.split(':');
    let first = leading.next()?;
    let starts_with_digit = first.starts_with(|c: char| c.is_ascii_digit());
    let no_whole = whole.is_empty() && digits == text && rest.starts_with(|c: char| c.is_ascii_digit());
    if !is_digits(first) || !(starts_with_digit || no_whole) {
        return None;
    }
    if whole.contains(':') {
        let plain = |text: &str| text.replace('_', "");
        let base = plain(first).parse().ok()?;
        let whole = leading.try_fold(base, |total: f64, part| Some(total * 60.0 + sixtieth(part)? as f64))?;
        if !is_digits(rest) {
            return None;
        }
        let fraction: f64 = format!("0.{}0", plain(rest)).parse().ok()?;
        return Some(Value::Float(sign * (whole + fraction)));
    }
    let fraction = match rest.find(['e', 'E']) {
        Some(at) => {
            // The sign of the exponent is required.
            let exponent = rest[at + 1..].strip_prefix(['-', '+'])?;
            if exponent.is_empty() || !exponent.chars().all(|c| c.is_ascii_digit()) {
                return None;
            }
            &rest[..at]
        }
        None => rest,
    };
    if !is_digits(fraction) {
        return None;
    }
    format!("0{}", digits.replace('_', ""))
        .parse()
        .ok()
        .map(|value: f64| Value::Float(sign * value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Value) {
        assert_eq!(resolve(text), Ok(expect), "{text}");
    }

    #[test]
    fn booleans_and_nulls() {
        for text in ["yes", "On", "TRUE", "true"] {
            check(text, Value::Bool(true));
        }
        for text in ["no", "Off", "FALSE"] {
            check(text, Value::Bool(false));
        }
        for text in ["", "~", "null", "NULL"] {
            check(text, Value::Null);
        }
        for text in ["y", "n", "tRUE", "nULL", "None"] {
            check(text, Value::String(text.into()));
        }
    }

    #[test]
    fn integers() {
        for (text, value) in [
            ("0", 0),
            ("-0", 0),
            ("389", 389),
            ("+7", 7),
            ("-12", -12),
            ("1_000", 1000),
            ("0b101", 5),
            ("010", 8),
            ("0x_fF", 255),
            ("-0x10", -16),
            ("1:30", 90),
            ("190:20:30", 685_230),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            check(text, Value::Int(value));
        }
        for text in [
            "08", "0o7", "0x", "1:60", "1:", "-", "+", "_1", "12a", "--1", "1:2:345", "0:30",
        ] {
            check(text, Value::String(text.into()));
        }
        assert!(resolve("9223372036854775808").is_err());
        assert!(resolve("99999999999999999999:59").is_err());
        assert!(resolve("-9223372036854775809").is_err());
    }

    #[test]
    fn floats() {
        for (text, value) in [
            ("1.5", 1.5),
            ("-1.", -1.0),
            (".5", 0.5),
            ("1.5e+3", 1500.0),
            ("1_0.2_5", 10.25),
            ("1:30.5", 90.5),
            ("-.inf", f64::NEG_INFINITY),
        ] {
            check(text, Value::Float(value));
        }
        assert!(matches!(resolve(".nan"), Ok(Value::Float(value)) if value.is_nan()));
        for text in [
            "1e3",
            "1.5e3",
            ".",
            "-.5",
            ".e+1",
            "1.2.3",
            "._5",
            "inf",
            "nan",
            "2024-05-01",
        ] {
            check(text, Value::String(text.into()));
        }
    }

    #[test]
    fn tags() {
        assert_eq!(construct("str", "12"), Some(Ok(Value::String("12".into()))));
        assert_eq!(construct("float", "12"), Some(Ok(Value::Float(12.0))));
        assert!(matches!(construct("int", "x"), Some(Err(_))));
        assert_eq!(construct("python/object", "x"), None);
    }
}
