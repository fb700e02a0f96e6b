//! Near names for typos.

/// Names that a misspelt one is compared with.
const MAX_COMPARED: usize = 10_000;

/// `did you mean ...?` when one of `known` is near to `name`.
pub(super) fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(name, known).map(|near| format!("did you mean `{near}`?"))
}

/// The name of `known` that `name` is most likely meant to be, if any is near enough.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A comparison takes the product of the lengths; nobody misspells a name of this length in an interesting way.
    if name.len() > 200 {
        return None;
    }
    let lower = name.to_lowercase();
    let length = lower.chars().count();
    let allowed = match length {
        0 | 1 => 0,
        length => (length / 3).clamp(1, 4),
    };
    known
        .into_iter()
        .take(MAX_COMPARED)
        .filter(|known| known.len() <= 200 && known.chars().count().abs_diff(length) <= allowed)
        .map(|known| (strsim::damerau_levenshtein(&lower, &known.to_lowercase()), known))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// The names in backticks, separated by commas; `none` when there are none. Long lists are cut.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 30;
    let mut names = names.into_iter();
    let shown: Vec<_> = names.by_ref().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match names.count() {
        0 if shown.is_empty() => "none".to_owned(),
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
