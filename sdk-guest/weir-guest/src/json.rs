//! A JSON reader, small enough to be in every component.

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number without a fraction or an exponent that fits 64 bits.
    Integer(i64),
    /// Any other number.
    Number(f64),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object, in the order of the text.
    Object(Vec<(String, Json)>),
}

/// Levels of arrays and objects.
const MAX_DEPTH: usize = 64;

impl Json {
    /// Reads a text that is one value.
    ///
    /// # Errors
    /// What was expected, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(0)?;
        reader.space();
        if reader.at < text.len() {
            reader.expected("the end")
        } else {
            Ok(value)
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&mut self) -> Option<u8> {
        self.space();
        self.rest().bytes().next()
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn expected<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("not valid JSON: expected {what} at byte {}", self.at))
    }

    fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth > MAX_DEPTH {
            return self.expected("fewer levels");
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(Json::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ if self.eat("null") => Ok(Json::Null),
            _ if self.eat("true") => Ok(Json::Bool(true)),
            _ if self.eat("false") => Ok(Json::Bool(false)),
            _ => self.expected("a value"),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, String> {
        self.at += 1;
        let mut members = Vec::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(members));
        }
        loop {
            if self.peek() != Some(b'"') {
                return self.expected("a member's name");
            }
            let name = self.string()?;
            self.space();
            if !self.eat(":") {
                return self.expected("`:`");
            }
            members.push((name, self.value(depth + 1)?));
            self.space();
            if self.eat("}") {
                return Ok(Json::Object(members));
            }
            if !self.eat(",") {
                return self.expected("`,` or `}`");
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json, String> {
        self.at += 1;
        let mut items = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            if self.eat("]") {
                return Ok(Json::Array(items));
            }
            if !self.eat(",") {
                return self.expected("`,` or `]`");
            }
        }
    }

    fn number(&mut self) -> Result<Json, String> {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !matches!(c, '-' | '+' | '.' | 'e' | 'E' | '0'..='9'))
            .unwrap_or(rest.len());
        let token = &rest[..end];
        let digits = token.trim_start_matches('-');
        let leading_zero = digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit();
        let value = match token.parse() {
            Ok(value) => Some(Json::Integer(value)),
            Err(_) => token.parse().ok().map(Json::Number),
        };
        match value {
            Some(value) if !leading_zero && !token.ends_with('.') => {
                self.at += end;
                Ok(value)
            }
            _ => self.expected("a number"),
        }
    }

    fn string(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut value = String::new();
        loop {
            let rest = self.rest();
            let plain = rest
                .find(|c: char| c == '"' || c == '\\' || c < ' ')
                .unwrap_or(rest.len());
            value.push_str(&rest[..plain]);
            self.at += plain;
            if self.eat("\"") {
                return Ok(value);
            }
            if !self.eat("\\") {
                return self.expected("the end of the string");
            }
            value.push(self.escaped()?);
        }
    }

    fn escaped(&mut self) -> Result<char, String> {
        let Some(escape) = self.rest().chars().next() else {
            return self.expected("an escape");
        };
        self.at += escape.len_utf8();
        Ok(match escape {
            '"' | '\\' | '/' => escape,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let first = self.code_unit()?;
                let code = if (0xd800..0xdc00).contains(&first) && self.eat("\\u") {
                    let second = self.code_unit()?;
                    0x10000 + ((first - 0xd800) << 10) + second.wrapping_sub(0xdc00) % 0x400
                } else {
                    first
                };
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return self.expected("an escape"),
        })
    }

    fn code_unit(&mut self) -> Result<u32, String> {
        let unit = self
            .rest()
            .get(..4)
            .and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let Some(unit) = unit else {
            return self.expected("four hexadecimal digits");
        };
        self.at += 4;
        Ok(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let text = r#" { "a" : [1, -2.5, 1e3, 9223372036854775808] , "b":{"c":null}, "d": true, "e": "x\n\u00e9\ud83d\ude00\"" } "#;
        let Json::Object(members) = Json::parse(text).unwrap() else {
            panic!("no object")
        };
        let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "b", "d", "e"]);
        assert_eq!(
            members[0].1,
            Json::Array(vec![
                Json::Integer(1),
                Json::Number(-2.5),
                Json::Number(1000.0),
                Json::Number(9223372036854775808.0)
            ])
        );
        assert_eq!(members[1].1, Json::Object(vec![("c".into(), Json::Null)]));
        assert_eq!(members[3].1, Json::String("x\né😀\"".into()));
    }

    #[test]
    fn mistakes_are_placed() {
        for (text, expected) in [
            ("", "a value at byte 0"),
            ("{\"a\" 1}", "`:` at byte 5"),
            ("[1 2]", "`,` or `]` at byte 3"),
            ("01", "a number at byte 0"),
            ("1.", "a number at byte 0"),
            ("\"a", "the end of the string at byte 2"),
            ("\"\\x\"", "an escape"),
            ("1 1", "the end at byte 2"),
            ("{1:2}", "a member's name at byte 1"),
        ] {
            let error = Json::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert!(Json::parse(&"[".repeat(1_000)).is_err());
    }
}
