//! Hearing of changes by LISTEN/NOTIFY. A notification is `runs ID...`, `cancel ID`, `pause ID` or `reports OWNER`.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgListener;

use super::connect::{CALL_TIMEOUT, Connector, within};
use crate::store::Error;
use crate::store::changes::{Announcer, Change};

const CHANNEL: &str = "weir";
/// The wait before a lost connection is opened again.
const AGAIN: Duration = Duration::from_millis(500);
/// How long nothing may be heard before the connection has to show that it works: one that was cut off says nothing.
const SILENCE: Duration = Duration::from_secs(15);

/// Tells what is heard, for ever.
pub(super) async fn listen(connector: Arc<Connector>, announcer: Announcer) {
    loop {
        if let Err(error) = listen_once(&connector, &announcer).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "cannot hear of changes in the database"
            );
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Until the connection is lost.
async fn listen_once(connector: &Connector, announcer: &Announcer) -> Result<(), Error> {
    let action = "listen to the database";
    let pool = connector.pool(1).await?;
    let mut listener = within(action, PgListener::connect_with(&pool)).await?;
    listener.ignore_pool_close_event(true);
    listener.eager_reconnect(false);
    within(action, listener.listen(CHANNEL)).await?;
    // What happened before was not heard.
    announcer.tell(Change::Anything);
    loop {
        match tokio::time::timeout(SILENCE, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => understand(notification.payload(), announcer),
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(super::connect::failed(action)(error)),
            Err(_) => {
                let alive = sqlx::query("SELECT 1").execute(&mut listener);
                within(action, alive).await?;
            }
        }
    }
}

fn understand(payload: &str, announcer: &Announcer) {
    let (kind, what) = payload.split_once(' ').unwrap_or((payload, ""));
    let change = |word: &str, change: fn(weir_model::RunId) -> Change| {
        // What a newer version tells may be anything.
        announcer.tell(word.parse().map_or(Change::Anything, change));
    };
    match kind {
        "runs" => what.split(' ').for_each(|run| change(run, Change::Run)),
        "cancel" => change(what, Change::Cancel),
        "pause" => change(what, Change::Pause),
        "reports" => announcer.tell(Change::Reports { owner: what.into() }),
        _ => announcer.tell(Change::Anything),
    }
}

/// Longer than a call, so that a connection which does not answer is found by the call.
const _: () = assert!(SILENCE.as_secs() > CALL_TIMEOUT.as_secs());

#[cfg(test)]
mod tests {
    use weir_platform::clock;

    use super::*;

    #[tokio::test]
    async fn notifications_are_understood() {
        let (announcer, a, b) = (Announcer::new(), clock::new_run_id(), clock::new_run_id());
        let mut changes = announcer.subscribe();
        understand(&format!("runs {a} {b}"), &announcer);
        understand(&format!("cancel {a}"), &announcer);
        understand(&format!("pause {b}"), &announcer);
        understand("reports process 7 (x)", &announcer);
        understand("something new", &announcer);
        let owner = "process 7 (x)".into();
        let expected = [
            Change::Run(a),
            Change::Run(b),
            Change::Cancel(a),
            Change::Pause(b),
            Change::Reports { owner },
            Change::Anything,
        ];
        for change in expected {
            assert_eq!(changes.next().await, change);
        }
    }
}
