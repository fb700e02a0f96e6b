//! What the Wasm components of namespaces take. The storage has them; that they are noted makes their sum one look.

use async_trait::async_trait;
use weir_model::{Digest, Namespace, Timestamp};

use super::Error;
use super::encoding::{to_i64, to_u64};
use super::relational::{Relational, Statement, Value};
use super::revisions::{Subject, raising, raising_each};

type Result<T> = std::result::Result<T, Error>;

/// Modules in one statement.
const CHUNK: usize = 200;

/// Where the sizes of modules are noted.
#[async_trait]
pub trait ModuleStore: Send + Sync {
    /// Notes how many bytes modules of a namespace take, as seen at a time; what was noted of them before is no more.
    async fn modules_note(&self, namespace: &Namespace, modules: &[(Digest, u64)], at: Timestamp) -> Result<()>;
    /// Forgets a module that was deleted.
    async fn module_forget(&self, namespace: &Namespace, digest: Digest) -> Result<()>;
    /// Forgets modules that were last seen before a time; says how many.
    async fn modules_forget(&self, before: Timestamp) -> Result<u64>;
    /// Bytes that the modules of a namespace take.
    async fn module_bytes(&self, namespace: &Namespace) -> Result<u64>;
}

#[async_trait]
impl<T: Relational> ModuleStore for T {
    async fn modules_note(&self, namespace: &Namespace, modules: &[(Digest, u64)], at: Timestamp) -> Result<()> {
        let chunks = modules.chunks(CHUNK);
        let statements = chunks.flat_map(|modules| [counting_new(namespace, modules), noting(namespace, modules, at)]);
        let statements: Vec<Statement> = statements.collect();
        if statements.is_empty() {
            return Ok(());
        }
        self.execute("note modules", statements).await.map(drop)
    }

    async fn module_forget(&self, namespace: &Namespace, digest: Digest) -> Result<()> {
        let forgetting = Statement::new("DELETE FROM namespace_modules WHERE namespace = ")
            .bind(namespace.as_str())
            .then(" AND digest = ")
            .bind(digest.to_string());
        let statements = vec![forgetting, raising(Some(namespace), Subject::Modules)];
        self.execute("forget a module", statements).await.map(drop)
    }

    async fn modules_forget(&self, before: Timestamp) -> Result<u64> {
        let forgetting = Statement::new("DELETE FROM namespace_modules WHERE seen_at < ").bind(to_i64(before.0));
        let counting = raising_each(Subject::Modules, |count| {
            let gone = count.then("SELECT DISTINCT namespace FROM namespace_modules WHERE seen_at < ");
            gone.bind(to_i64(before.0))
        });
        let changed = self.execute("forget modules", vec![counting, forgetting]).await?;
        Ok(changed.last().copied().unwrap_or(0))
    }

    async fn module_bytes(&self, namespace: &Namespace) -> Result<u64> {
        let sum = Statement::new(
            "SELECT CAST(coalesce(sum(bytes), 0) AS bigint) AS bytes FROM namespace_modules WHERE namespace = ",
        )
        .bind(namespace.as_str());
        let found = self
            .select("sum what modules take", sum, |row| row.number("bytes"))
            .await?;
        Ok(found.into_iter().map(to_u64).sum())
    }
}

/// Counts a change unless all of these are noted already: they are seen again every few minutes.
fn counting_new(namespace: &Namespace, modules: &[(Digest, u64)]) -> Statement {
    raising_each(Subject::Modules, |count| {
        let known = count.then("SELECT n.namespace FROM (SELECT ").bind(namespace.as_str());
        let known = known.then(" AS namespace) AS n WHERE (SELECT count(*) FROM namespace_modules WHERE namespace = ");
        let known = known.bind(namespace.as_str()).then(" AND digest IN ");
        let known = known.bind_all(modules.iter().map(|(digest, _)| digest.to_string().into()));
        known.then(") < ").bind(modules.len() as i64)
    })
}

fn noting(namespace: &Namespace, modules: &[(Digest, u64)], at: Timestamp) -> Statement {
    let mut noting = Statement::new("INSERT INTO namespace_modules (namespace, digest, bytes, seen_at) VALUES ");
    for (place, (digest, bytes)) in modules.iter().enumerate() {
        if place > 0 {
            noting = noting.then(", ");
        }
        noting = noting.bind_all([
            Value::from(namespace.as_str()),
            digest.to_string().into(),
            to_i64(*bytes).into(),
            to_i64(at.0).into(),
        ]);
    }
    noting.then(
        " ON CONFLICT (namespace, digest) DO UPDATE SET bytes = excluded.bytes, seen_at = excluded.seen_at \
         WHERE namespace_modules.seen_at < excluded.seen_at",
    )
}
