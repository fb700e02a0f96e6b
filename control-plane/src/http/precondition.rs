//! Conditional changes.

use axum::http::{HeaderMap, StatusCode, header};

use super::Problem;

/// The entity tags of `If-Match`, if it is there.
pub(super) struct IfMatch<'a>(Option<&'a str>);

impl<'a> IfMatch<'a> {
    pub(super) fn of(headers: &'a HeaderMap) -> Result<Self, Problem> {
        let text = headers.get(header::IF_MATCH).map(|value| value.to_str()).transpose();
        let text = text.map_err(|_| Problem::malformed("`If-Match` has characters that no entity tag has"))?;
        Ok(Self(text))
    }

    /// Whether it is there.
    pub(super) fn is_given(&self) -> bool {
        self.0.is_some()
    }

    /// Refuses a change of what is not as the client knows it.
    pub(super) fn check(&self, present: &str) -> Result<(), Problem> {
        let matches = |list: &str| {
            list.split(',').map(str::trim).any(|tag| {
                let strong = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
                tag == "*" || strong == Some(present)
            })
        };
        match self.0 {
            Some(list) if !matches(list) => Err(failed()),
            _ => Ok(()),
        }
    }
}

/// Somebody else has changed it.
pub(super) fn failed() -> Problem {
    let detail = "it was changed meanwhile; get it again, and send the change with its new `ETag` in `If-Match`";
    Problem::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_strong_tags_of_the_list_match() {
        let check = |value: Option<&str>| {
            let headers = value.map(|value| (header::IF_MATCH, value.parse().unwrap()));
            let headers = headers.into_iter().collect();
            IfMatch::of(&headers).unwrap().check("g7").is_ok()
        };
        for value in [None, Some("\"g7\""), Some("\"g1\", \"g7\""), Some("*")] {
            assert!(check(value), "{value:?}");
        }
        for value in ["\"g8\"", "g7", "W/\"g7\"", "", "\"g77\""] {
            assert!(!check(Some(value)), "{value}");
        }
    }
}
