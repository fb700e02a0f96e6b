//! What runs are found by: words, and labels.

use std::collections::BTreeMap;

use weir_model::RunId;

use super::RunRow;

/// Characters of a search at most.
const MAX_CHARS: usize = 200;
/// Words of a search at most.
const MAX_WORDS: usize = 8;
/// Words that runs are searched for. A run is found when each of them, in upper or lower case, is somewhere in its name,
/// in who submitted it, in one of its labels as `key=value`, or in the name of its pipeline or schedule; or when its id
/// begins so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    words: Vec<String>,
}

/// The text is no search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a search has at most {MAX_WORDS} words and {MAX_CHARS} characters, none of them a control character")]
pub struct InvalidSearch;

impl Search {
    /// Reads words with spaces between them; `None` when there are none.
    ///
    /// # Errors
    /// When they are too many, too long, or no text.
    pub fn parse(text: &str) -> Result<Option<Self>, InvalidSearch> {
        if text.chars().nth(MAX_CHARS).is_some() || text.contains(char::is_control) {
            return Err(InvalidSearch);
        }
        let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
        match words.len() {
            0 => Ok(None),
            1..=MAX_WORDS => Ok(Some(Self { words })),
            _ => Err(InvalidSearch),
        }
    }

    /// The words, in lower case.
    pub(super) fn words(&self) -> &[String] {
        &self.words
    }

    /// Whether a run is found.
    pub(super) fn finds(&self, row: &RunRow) -> bool {
        let lines = Lines {
            name: &row.name,
            pipeline: row.pipeline.as_ref().map(|pipeline| &*pipeline.name),
            schedule: row.schedule.as_ref().map(|schedule| &*schedule.name),
            created_by: row.created_by.as_deref(),
            labels: &row.labels,
        };
        let (text, id) = (lines.searched(), row.run.to_string());
        let mut words = self.words.iter();
        words.all(|word| text.contains(word) || id.starts_with(word))
    }
}

/// What is known of a run when it is submitted that it is found by.
pub(super) struct Lines<'a> {
    pub(super) name: &'a str,
    pub(super) pipeline: Option<&'a str>,
    pub(super) schedule: Option<&'a str>,
    pub(super) created_by: Option<&'a str>,
    pub(super) labels: &'a BTreeMap<String, String>,
}

impl Lines<'_> {
    /// What a search looks into: lines in lower case. No word goes over the end of a line.
    pub(super) fn searched(&self) -> String {
        let others = [self.pipeline, self.schedule, self.created_by];
        let mut text = self.name.to_lowercase();
        for line in others.into_iter().flatten() {
            text.push('\n');
            text.push_str(&line.to_lowercase());
        }
        for (key, value) in self.labels {
            text.push('\n');
            text.push_str(&label(key, value).to_lowercase());
        }
        stored(text)
    }
}

/// A label as runs are found by it.
pub(super) fn label(key: &str, value: &str) -> String {
    stored(format!("{key}={value}"))
}

/// Text that every database takes.
pub(super) fn stored(text: String) -> String {
    match text.contains('\0') {
        true => text.replace('\0', "\u{fffd}"),
        false => text,
    }
}

/// Runs of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// The runs, the youngest first.
    pub rows: Vec<RunRow>,
    /// The last run that was looked at, if there may be more.
    pub next: Option<RunId>,
}

impl Listed {
    /// A page of at most `limit` runs of which every run that was looked at is one.
    pub(super) fn full(rows: Vec<RunRow>, limit: u32) -> Self {
        let last = rows.last().map(|row| row.run);
        Self {
            next: last.filter(|_| rows.len() >= limit as usize),
            rows,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_are_a_few_words() {
        let words = |text: &str| Search::parse(text).map(|search| search.map(|search| search.words));
        assert_eq!(
            words("  Sums\tTEAM=Öl "),
            Err(InvalidSearch),
            "a tab is a control character"
        );
        assert_eq!(
            words("  Sums TEAM=Öl "),
            Ok(Some(vec!["sums".to_owned(), "team=öl".to_owned()]))
        );
        assert_eq!(words(" "), Ok(None));
        assert_eq!(words(&"ö".repeat(200)).map(|found| found.is_some()), Ok(true));
        for text in ["a\0", &"ö".repeat(201), "1 2 3 4 5 6 7 8 9"] {
            assert_eq!(words(text), Err(InvalidSearch), "{text:?}");
        }
    }
}
