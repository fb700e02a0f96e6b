//! The time of day, and identifiers made of it.

use std::time::{SystemTime, UNIX_EPOCH};

use weir_model::{AuditId, ExecutionId, KeyId, RunId, Timestamp, WorkerId};

/// The time of day.
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// A run id that nobody else has.
pub fn new_run_id() -> RunId {
    RunId::from_parts(now(), random())
}

/// An execution id that nobody else has.
pub fn new_execution_id() -> ExecutionId {
    ExecutionId::from_parts(now(), random())
}

/// A worker id that nobody else has.
pub fn new_worker_id() -> WorkerId {
    WorkerId::from_parts(now(), random())
}

/// A key id that nobody else has.
pub fn new_key_id() -> KeyId {
    KeyId::from_parts(now(), random())
}

/// An id of an audit entry that nobody else has.
pub fn new_audit_id() -> AuditId {
    AuditId::from_parts(now(), random())
}

/// 32 hexadecimal digits that nobody else has, for a request; they can be a W3C trace id too.
pub fn new_request_id() -> String {
    // A trace id must not be zero.
    format!("{:032x}", random().max(1))
}

/// 128 random bits.
fn random() -> u128 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system has a source of randomness");
    u128::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_differ_and_carry_the_time() {
        let before = now();
        let (a, b) = (new_run_id(), new_run_id());
        assert_ne!(a, b);
        assert!(a >= RunId::from_parts(before, 0), "{a} is made now");
    }
}
