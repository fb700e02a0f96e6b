//! What the leader of scaling said last.

use weir_model::Timestamp;

use super::encoding::{to_i64, to_u32, to_u64};
use super::relational::{Relational, Statement};
use super::{Error, ScalingRow};

/// What is scaled.
const NAME: &str = "workers";

pub(super) async fn set(store: &impl Relational, scaling: &ScalingRow) -> Result<(), Error> {
    let said = Statement::new("INSERT INTO scaling (name, wanted, provisioned, said_at) VALUES ")
        .bind_all([
            NAME.into(),
            i64::from(scaling.wanted).into(),
            i64::from(scaling.provisioned).into(),
            to_i64(scaling.said_at.0).into(),
        ])
        .then(
            " ON CONFLICT (name) DO UPDATE SET wanted = excluded.wanted, provisioned = excluded.provisioned, \
             said_at = excluded.said_at",
        );
    let action = "note how many workers are wanted";
    store.execute(action, vec![said]).await.map(drop)
}

pub(super) async fn get(store: &impl Relational) -> Result<Option<ScalingRow>, Error> {
    let statement = Statement::new("SELECT wanted, provisioned, said_at FROM scaling WHERE name = ").bind(NAME);
    let rows = store.select("read how many workers are wanted", statement, |row| {
        Ok(ScalingRow {
            wanted: to_u32(row.number("wanted")?),
            provisioned: to_u32(row.number("provisioned")?),
            said_at: Timestamp(to_u64(row.number("said_at")?)),
        })
    });
    Ok(rows.await?.pop())
}
