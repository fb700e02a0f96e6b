//! What is done to calls of queues and of the storage.

use std::time::Duration;

use weir_testkit::{Call, Fault};

/// A generator of numbers that are the same for the same seed.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    /// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// What is done to a call, if anything: a few of a hundred calls of each kind.
pub(super) fn fault(call: &Call, seed: u64) -> Fault {
    let mut numbers = Numbers(seed ^ call.number.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let dice = numbers.below(100);
    let pause = Duration::from_millis(200 + numbers.below(2_500));
    match call.operation.as_deref() {
        Some("SendMessageBatch" | "SendMessage") => match dice {
            0..=7 => Fault::Twice,
            8..=13 => Fault::Delay(pause),
            14..=16 => Fault::LoseAnswer,
            _ => Fault::None,
        },
        Some("ReceiveMessage") => match dice {
            0..=3 => Fault::LoseMessage,
            4..=6 => Fault::Twice,
            _ => Fault::None,
        },
        Some(_) => match dice {
            0..=2 => Fault::LoseAnswer,
            _ => Fault::None,
        },
        // S3.
        None => match dice {
            0..=1 => Fault::Refuse(axum::http::StatusCode::SERVICE_UNAVAILABLE),
            2..=3 => Fault::Delay(pause),
            4 => Fault::LoseAnswer,
            _ => Fault::None,
        },
    }
}
