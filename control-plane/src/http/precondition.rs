//! Conditional changes.

use axum::http::{HeaderMap, StatusCode, header};

use super::Problem;

/// What `If-Match` and `If-None-Match` ask of the thing that is changed.
pub(super) struct Condition<'a> {
    /// The entity tags of which it has one.
    tags: Option<&'a str>,
    /// Whether it must not be there.
    absent: bool,
}

impl<'a> Condition<'a> {
    pub(super) fn of(headers: &'a HeaderMap) -> Result<Self, Problem> {
        let text = headers.get(header::IF_MATCH).map(|value| value.to_str()).transpose();
        let tags = text.map_err(|_| Problem::malformed("`If-Match` has characters that no entity tag has"))?;
        let absent = match headers
            .get(header::IF_NONE_MATCH)
            .map(|value| value.as_bytes().trim_ascii())
        {
            None => false,
            Some(b"*") => true,
            Some(_) => {
                let detail = "`If-None-Match` can only be `*` here: the change is made if there is nothing yet";
                return Err(Problem::malformed(detail));
            }
        };
        Ok(Self { tags, absent })
    }

    /// Whether the change is only one of something that is there.
    pub(super) fn is_of_known(&self) -> bool {
        self.tags.is_some()
    }

    /// Refuses a change of what is not as the client knows it; it is there, with this entity tag.
    pub(super) fn check(&self, present: &str) -> Result<(), Problem> {
        let matches = |list: &str| {
            list.split(',').map(str::trim).any(|tag| {
                let strong = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
                tag == "*" || strong == Some(present)
            })
        };
        match self.tags {
            _ if self.absent => {
                let detail = "it is there already; leave `If-None-Match` out to change it";
                Err(Problem::new(
                    StatusCode::PRECONDITION_FAILED,
                    "precondition_failed",
                    detail,
                ))
            }
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
            Condition::of(&headers).unwrap().check("g7").is_ok()
        };
        for value in [None, Some("\"g7\""), Some("\"g1\", \"g7\""), Some("*")] {
            assert!(check(value), "{value:?}");
        }
        for value in ["\"g8\"", "g7", "W/\"g7\"", "", "\"g77\""] {
            assert!(!check(Some(value)), "{value}");
        }
    }

    #[test]
    fn what_must_not_be_there_is_not_changed() {
        let of = |value: &str| {
            [(header::IF_NONE_MATCH, value.parse().unwrap())]
                .into_iter()
                .collect::<HeaderMap>()
        };
        let headers = of("*");
        let condition = Condition::of(&headers).unwrap();
        assert!(!condition.is_of_known());
        assert_eq!(condition.check("g7").unwrap_err().status, 412);
        assert!(
            Condition::of(&of("\"g7\"")).is_err(),
            "nothing is known that would be done"
        );
    }
}
