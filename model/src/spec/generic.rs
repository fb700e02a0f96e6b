//! Beam's language `generic`: a field, a literal, or one comparison of these.

use super::Value;

/// A parsed expression of the language `generic`.
#[derive(Clone, Debug, PartialEq)]
pub enum GenericExpression {
    /// A field of the input.
    Field(String),
    /// A number, a boolean or a double-quoted string.
    Literal(Value),
    /// `left operator right`, where both sides are fields or literals.
    Compare {
        /// The left side.
        left: Box<GenericExpression>,
        /// The operator.
        comparison: Comparison,
        /// The right side.
        right: Box<GenericExpression>,
    },
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// Longer operators first, so that `<=` is not read as `<`.
const OPERATORS: [(&str, Comparison); 6] = [
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

impl GenericExpression {
    /// Parses an expression over an input whose fields are `fields`.
    ///
    /// Fields win over everything else, so that a field called `a-b` or `true` can be named.
    ///
    /// # Errors
    /// A message for people when `text` is neither a field, nor a literal, nor a comparison of two of these. It does
    /// not repeat `text`'s position.
    pub fn parse(text: &str, fields: &[&str]) -> Result<Self, String> {
        let text = text.trim();
        if let Some(atom) = atom(text, fields) {
            return Ok(atom);
        }
        if let Some((left, comparison, right)) = split_comparison(text) {
            let side = |text: &str| atom(text, fields).ok_or_else(|| unknown(text, fields)).map(Box::new);
            return Ok(Self::Compare {
                left: side(left)?,
                comparison,
                right: side(right)?,
            });
        }
        Err(unknown(text, fields))
    }
}

fn atom(text: &str, fields: &[&str]) -> Option<GenericExpression> {
    if fields.contains(&text) {
        return Some(GenericExpression::Field(text.to_owned()));
    }
    literal(text).map(GenericExpression::Literal)
}

fn literal(text: &str) -> Option<Value> {
    match text {
        "true" | "True" => return Some(Value::Bool(true)),
        "false" | "False" => return Some(Value::Bool(false)),
        _ => {}
    }
    if let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        return (!inner.contains(['"', '\\'])).then(|| Value::String(inner.to_owned()));
    }
    // `f64::from_str` also takes `inf` and `nan`, which are more likely to be misspelt fields.
    if !text
        .trim_start_matches(['-', '+'])
        .starts_with(|c: char| c.is_ascii_digit() || c == '.')
    {
        return None;
    }
    let int = text.parse().map(Value::Int);
    int.or_else(|_| text.parse().map(Value::Float)).ok()
}

/// Splits at the first operator outside of quotes.
fn split_comparison(text: &str) -> Option<(&str, Comparison, &str)> {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        quoted ^= c == '"';
        if quoted {
            continue;
        }
        for (operator, comparison) in OPERATORS {
            if let Some(right) = text[at..].strip_prefix(operator) {
                return Some((text[..at].trim(), comparison, right.trim()));
            }
        }
    }
    None
}

fn unknown(text: &str, fields: &[&str]) -> String {
    let is_name = !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == ' ');
    if is_name {
        let near = super::suggest::did_you_mean(text, fields.iter().copied());
        let near = near.unwrap_or_else(|| format!("the fields are {}", super::suggest::list(fields.iter().copied())));
        format!("the input has no field `{text}`; {near}")
    } else {
        format!(
            "`{text}` is not a field, a literal or one comparison of two of these; say `language: sql` to write \
             anything else"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        let shown = match GenericExpression::parse(text, &["a", "b c", "x-y", "true_value"]) {
            Ok(expression) => format!("{expression:?}"),
            Err(message) => message,
        };
        assert_eq!(shown, expect, "{text}");
    }

    #[test]
    fn atoms() {
        check("a", r#"Field("a")"#);
        check(" b c ", r#"Field("b c")"#);
        check("x-y", r#"Field("x-y")"#);
        check("389", "Literal(Int(389))");
        check("-1.5", "Literal(Float(-1.5))");
        check("1e-10", "Literal(Float(1e-10))");
        check("\"it's\"", r#"Literal(String("it's"))"#);
        check("True", "Literal(Bool(true))");
    }

    #[test]
    fn comparisons() {
        check(
            "a <= 3",
            r#"Compare { left: Field("a"), comparison: LessOrEqual, right: Literal(Int(3)) }"#,
        );
        check(
            "a == \"x>y\"",
            r#"Compare { left: Field("a"), comparison: Equal, right: Literal(String("x>y")) }"#,
        );
        check(
            "\"<\" != b c",
            r#"Compare { left: Literal(String("<")), comparison: NotEqual, right: Field("b c") }"#,
        );
    }

    #[test]
    fn errors() {
        check(
            "true_valu",
            "the input has no field `true_valu`; did you mean `true_value`?",
        );
        check(
            "zzzzz",
            "the input has no field `zzzzz`; the fields are `a`, `b c`, `x-y`, `true_value`",
        );
        check(
            "a + 1",
            "`a + 1` is not a field, a literal or one comparison of two of these; say `language: sql` to write \
             anything else",
        );
        check(
            "a + 1 > 2",
            "`a + 1` is not a field, a literal or one comparison of two of these; say `language: sql` to write \
             anything else",
        );
        check(
            "a = 1",
            "`a = 1` is not a field, a literal or one comparison of two of these; say `language: sql` to write \
             anything else",
        );
        check(
            "nan",
            "the input has no field `nan`; the fields are `a`, `b c`, `x-y`, `true_value`",
        );
        check(
            "\"a\\\"b\"",
            "`\"a\\\"b\"` is not a field, a literal or one comparison of two of these; say `language: sql` to write \
             anything else",
        );
    }
}
