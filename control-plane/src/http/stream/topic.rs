//! What can be followed, and how far somebody has followed it.

use std::fmt;

use weir_model::{Namespace, RunId};

use super::super::Problem;

/// Bytes of a `Last-Event-ID` that are looked at.
const MAX_ID: usize = 4_096;

/// Something to follow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Topic {
    /// The latest runs of a namespace.
    Runs(Namespace),
    /// A run.
    Run(RunId),
    /// The workers, as a namespace sees them.
    Workers(Namespace),
    /// How many workers there are, and how many there should be.
    Scaling,
    /// The pipelines of a namespace.
    Pipelines(Namespace),
    /// The schedules of a namespace.
    Schedules(Namespace),
    /// The Wasm components of a namespace.
    Modules(Namespace),
    /// The API keys of a namespace; those of every namespace and of the whole service without one.
    Keys(Option<Namespace>),
    /// The namespaces of the service.
    Namespaces,
    /// What a namespace may use, and what it uses.
    Quota(Namespace),
    /// The audit log of a namespace; that of the whole service without one.
    Audit(Option<Namespace>),
}

impl Topic {
    /// The topic of a word, for a caller of a namespace.
    pub(super) fn parse(word: &str, namespace: &Namespace) -> Result<Self, Problem> {
        match (word, word.split_once(':')) {
            ("runs", _) => Ok(Self::Runs(namespace.clone())),
            ("workers", _) => Ok(Self::Workers(namespace.clone())),
            ("scaling", _) => Ok(Self::Scaling),
            ("pipelines", _) => Ok(Self::Pipelines(namespace.clone())),
            ("schedules", _) => Ok(Self::Schedules(namespace.clone())),
            ("modules", _) => Ok(Self::Modules(namespace.clone())),
            ("keys", _) => Ok(Self::Keys(Some(namespace.clone()))),
            ("keys:service", _) => Ok(Self::Keys(None)),
            ("namespaces", _) => Ok(Self::Namespaces),
            ("audit", _) => Ok(Self::Audit(Some(namespace.clone()))),
            ("audit:service", _) => Ok(Self::Audit(None)),
            (_, Some(("run", run))) => run.parse().map(Self::Run).map_err(|_| Problem::run_not_found(run)),
            (_, Some(("quota", of))) => of
                .parse()
                .map(Self::Quota)
                .map_err(|_| Problem::namespace_not_found(of)),
            _ => Err(Problem::invalid_query(format!(
                "`{word}` is not a topic; topics are `runs`, `run:ID`, `pipelines`, `schedules`, `modules`, \
                 `quota:NAMESPACE`, `keys`, `keys:service`, `namespaces`, `audit`, `audit:service`, `workers` and \
                 `scaling`"
            ))),
        }
    }
}

/// The word for it; it does not name the namespace that goes with the request.
impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runs(_) => f.write_str("runs"),
            Self::Run(run) => write!(f, "run:{run}"),
            Self::Workers(_) => f.write_str("workers"),
            Self::Scaling => f.write_str("scaling"),
            Self::Pipelines(_) => f.write_str("pipelines"),
            Self::Schedules(_) => f.write_str("schedules"),
            Self::Modules(_) => f.write_str("modules"),
            Self::Keys(Some(_)) => f.write_str("keys"),
            Self::Keys(None) => f.write_str("keys:service"),
            Self::Namespaces => f.write_str("namespaces"),
            Self::Quota(namespace) => write!(f, "quota:{namespace}"),
            Self::Audit(Some(_)) => f.write_str("audit"),
            Self::Audit(None) => f.write_str("audit:service"),
        }
    }
}

/// The versions of topics that somebody has, as the ids of events name them: `runs=5f0c…;run:01jz…=9a2b…`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Versions(Vec<(String, String)>);

impl Versions {
    /// Reads the id of an event; what is not understood is not known.
    pub(super) fn parse(id: &str) -> Self {
        if id.len() > MAX_ID {
            return Self::default();
        }
        let entries = id.split(';').filter_map(|entry| entry.split_once('='));
        Self(
            entries
                .map(|(topic, version)| (topic.to_owned(), version.to_owned()))
                .collect(),
        )
    }

    /// The version of a topic.
    pub(super) fn of(&self, topic: &Topic) -> Option<&str> {
        let word = topic.to_string();
        let mut found = self.0.iter().filter(|(known, _)| *known == word);
        found.next().map(|(_, version)| version.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_and_versions_survive_their_text() {
        let namespace = Namespace::default();
        let run = weir_platform::clock::new_run_id();
        let words = "runs workers scaling pipelines schedules modules keys keys:service namespaces quota:default audit \
                     audit:service";
        for word in words.split_whitespace().chain([&*format!("run:{run}")]) {
            assert_eq!(Topic::parse(word, &namespace).unwrap().to_string(), word);
        }
        for word in [
            "",
            "run",
            "run:x",
            "runs:x",
            "Runs",
            "quota",
            "quota:A B",
            "audit:default",
            "keys:default",
            "namespaces:default",
        ] {
            assert!(Topic::parse(word, &namespace).is_err(), "{word}");
        }
        let versions = Versions::parse(&format!("runs=1a;run:{run}=2b;;x"));
        assert_eq!(versions.of(&Topic::Runs(namespace.clone())), Some("1a"));
        assert_eq!(versions.of(&Topic::Run(run)), Some("2b"));
        assert_eq!(versions.of(&Topic::Workers(namespace)), None);
        assert_eq!(Versions::parse(&"runs=1;".repeat(1_000)), Versions::default());
    }
}
