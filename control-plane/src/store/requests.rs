//! Requests that were made under an idempotency key.

use weir_model::{Digest, Namespace, RunId, Timestamp};

use super::Error;
use super::encoding::to_i64;
use super::relational::{Relational, Statement};

pub(super) async fn get(
    store: &impl Relational,
    namespace: &Namespace,
    key: &str,
) -> Result<Option<(Digest, RunId)>, Error> {
    let known = Statement::new("SELECT digest, run_id FROM requests WHERE namespace = ")
        .bind(namespace.as_str())
        .then(" AND key = ")
        .bind(key);
    let known = store.select("look for a request", known, |row| {
        Ok((row.text("digest")?.parse()?, row.text("run_id")?.parse()?))
    });
    Ok(known.await?.pop())
}

pub(super) async fn forget(store: &impl Relational, before: Timestamp) -> Result<u64, Error> {
    let forgetting = Statement::new("DELETE FROM requests WHERE created_at < ").bind(to_i64(before.0));
    let forgotten = store.execute("forget requests", vec![forgetting]).await?;
    Ok(forgotten.into_iter().sum())
}
