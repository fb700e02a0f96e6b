//! How often something was changed: whoever follows it sees with one look whether it was.

use async_trait::async_trait;
use weir_model::Namespace;

use super::Error;
use super::encoding::to_u64;
use super::relational::{Relational, Statement};

/// What the revisions of the whole service are kept under; no namespace has this name.
const SERVICE: &str = "";

/// What a revision counts the changes of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The pipelines of a namespace.
    Pipelines,
    /// The schedules of a namespace, what they have done included.
    Schedules,
    /// The API keys of a namespace, or those of every namespace and of the whole service. Their use is no change.
    Keys,
    /// Which Wasm components a namespace has.
    Modules,
    /// The namespaces of the service.
    Namespaces,
}

impl Subject {
    /// As it is stored.
    fn name(self) -> &'static str {
        match self {
            Self::Pipelines => "pipelines",
            Self::Schedules => "schedules",
            Self::Keys => "keys",
            Self::Modules => "modules",
            Self::Namespaces => "namespaces",
        }
    }
}

/// Where changes are counted.
#[async_trait]
pub trait RevisionStore: Send + Sync {
    /// How often something of a namespace, or of the whole service, was changed: it grows with every write that was done.
    async fn revision(&self, namespace: Option<&Namespace>, subject: Subject) -> Result<u64, Error>;
}

#[async_trait]
impl<D: Relational> RevisionStore for D {
    async fn revision(&self, namespace: Option<&Namespace>, subject: Subject) -> Result<u64, Error> {
        let reading = Statement::new("SELECT revision FROM revisions WHERE namespace = ").bind(stored(namespace));
        let reading = reading.then(" AND subject = ").bind(subject.name());
        let action = "see whether something changed";
        let found = self.select(action, reading, |row| row.number("revision")).await?;
        Ok(found.first().map_or(0, |revision| to_u64(*revision)))
    }
}

const COUNT: &str = "INSERT INTO revisions (namespace, subject, revision) ";
const ONE_MORE: &str = " ON CONFLICT (namespace, subject) DO UPDATE SET revision = revisions.revision + 1";

/// Counts a change. To be the last of its transaction, so that those who change the same wait for each other as shortly as
/// can be.
pub(super) fn raising(namespace: Option<&Namespace>, subject: Subject) -> Statement {
    let count = Statement::new(COUNT).then("VALUES ");
    let count = count.bind_all([stored(namespace).into(), subject.name().into(), 1_i64.into()]);
    count.then(ONE_MORE)
}

/// Counts a change of every namespace that a query names as `namespace`, each at most once.
pub(super) fn raising_each(subject: Subject, query: impl FnOnce(Statement) -> Statement) -> Statement {
    let count = Statement::new(COUNT).then("SELECT namespace, ");
    let count = count.bind(subject.name()).then(", 1 FROM (");
    query(count).then(") AS changed WHERE true").then(ONE_MORE)
}

fn stored(namespace: Option<&Namespace>) -> &str {
    namespace.map_or(SERVICE, Namespace::as_str)
}
