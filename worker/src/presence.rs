//! The worker's own signs of life.

use std::sync::Arc;

use tokio::time::MissedTickBehavior;

use crate::worker::Shared;

/// Says at once and from time to time that the worker lives.
pub(crate) async fn beat(shared: Arc<Shared>) {
    let Some(interval) = shared.options.presence() else {
        return;
    };
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // The next one says it again.
        shared.reporter.say_if_there_is_room(&shared.status.heartbeat());
    }
}

/// Says something that nobody says again.
pub(crate) async fn say(shared: &Shared) {
    if shared.options.presence().is_some() {
        shared.reporter.say(&shared.status.heartbeat()).await;
    }
}
