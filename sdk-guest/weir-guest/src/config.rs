//! The configuration that a pipeline gives to a function.

use std::sync::OnceLock;

use crate::json::Json;

/// The text from the host. It is parsed when it is first asked for, so that a component whose functions take no
/// configuration holds no parser.
static TEXT: OnceLock<String> = OnceLock::new();
static CONFIG: OnceLock<Config> = OnceLock::new();

/// The configuration of this instance: a JSON object, from the pipeline.
///
/// ```
/// # weir_guest::testing::set_config(r#"{"separator": ";", "limit": 10}"#);
/// use std::sync::LazyLock;
/// use weir_guest::config;
///
/// static SEPARATOR: LazyLock<&str> = LazyLock::new(|| config().str("separator").unwrap_or(","));
///
/// assert_eq!(*SEPARATOR, ";");
/// assert_eq!(config().i64("limit"), Some(10));
/// ```
///
/// It does not change while the instance lives, so what is made from it can be kept in a `LazyLock` or `OnceLock`, as
/// above. A panic there, with a message that says what is wrong with the configuration, fails the run with that message.
///
/// # Panics
/// When the text is no JSON object; the host checks that it is.
pub fn config() -> &'static Config {
    CONFIG.get_or_init(|| match TEXT.get() {
        Some(text) => Config::parse(text).unwrap_or_else(|problem| panic!("the configuration is {problem}")),
        None => Config::default(),
    })
}

/// A JSON object. See [`config`].
#[derive(Debug, Default)]
pub struct Config {
    text: String,
    members: Vec<(String, Json)>,
}

impl Config {
    fn parse(text: &str) -> Result<Self, String> {
        let members = match Json::parse(text)? {
            Json::Object(members) => members,
            Json::Null => Vec::new(),
            _ => return Err("no JSON object".to_owned()),
        };
        Ok(Self {
            text: text.to_owned(),
            members,
        })
    }

    /// The text as it came, for a JSON library.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The member of this name.
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.members
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    }

    /// The member of this name, if it is a string.
    pub fn str(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Json::String(value)) => Some(value),
            _ => None,
        }
    }

    /// The member of this name, if it is an integer.
    pub fn i64(&self, name: &str) -> Option<i64> {
        match self.get(name) {
            Some(Json::Integer(value)) => Some(*value),
            _ => None,
        }
    }

    /// The member of this name, if it is a number.
    pub fn f64(&self, name: &str) -> Option<f64> {
        match self.get(name) {
            Some(Json::Integer(value)) => Some(*value as f64),
            Some(Json::Number(value)) => Some(*value),
            _ => None,
        }
    }

    /// The member of this name, if it is a boolean.
    pub fn bool(&self, name: &str) -> Option<bool> {
        match self.get(name) {
            Some(Json::Bool(value)) => Some(*value),
            _ => None,
        }
    }
}

/// Sets the configuration, once.
pub(crate) fn set(text: String) -> Result<(), String> {
    TEXT.set(text).map_err(|_| "the instance is open already".to_owned())
}
