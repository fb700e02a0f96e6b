//! Trying again what may succeed later.

use std::time::Duration;

/// The first wait.
const FIRST: Duration = Duration::from_millis(50);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(5);
/// Tries of an effect before it has failed for good: about half a minute.
const TRIES: u32 = 12;

/// Waits that double up to a limit.
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { next: FIRST }
    }

    pub(super) async fn wait(&mut self) {
        let wait = self.next;
        self.next = (wait * 2).min(LONGEST);
        tokio::time::sleep(wait).await;
    }
}

/// Counts the tries of an effect.
pub(super) struct Tries {
    what: &'static str,
    left: u32,
    backoff: Backoff,
}

impl Tries {
    pub(super) fn new(what: &'static str) -> Self {
        Self {
            what,
            left: TRIES,
            backoff: Backoff::new(),
        }
    }

    /// Says whether to try again after an error, having waited for the right time to do so.
    pub(super) async fn again(&mut self, error: &(dyn std::error::Error + Sync), is_transient: bool) -> bool {
        self.left -= 1;
        if self.left == 0 || !is_transient {
            return false;
        }
        tracing::warn!(error = %error, "cannot {}; trying again", self.what);
        self.backoff.wait().await;
        true
    }
}

/// Evaluates a future until it gives something else than a passing error, a bounded number of times. (A macro, since
/// a function over async closures makes futures that the compiler cannot prove to be `Send`.)
macro_rules! retry {
    ($what:literal, $is_transient:expr, $call:expr) => {{
        let mut tries = $crate::driver::retry::Tries::new($what);
        loop {
            match $call.await {
                Ok(value) => break Ok(value),
                Err(error) => {
                    if !tries.again(&error, $is_transient(&error)).await {
                        break Err(error);
                    }
                }
            }
        }
    }};
}

pub(super) use retry;
