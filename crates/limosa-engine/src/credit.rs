//! Credits in bytes: what may be on its way to a target whose journal does not have it yet.
//!
//! Both ends count the same cost of a frame or live message, so that acknowledged totals can be compared.

use limosa_wire::{FrameMessage, Live};

/// Cost of a frame: its payload, and a flat charge that keeps many tiny entries or frames from being free.
pub fn frame_cost(message: &FrameMessage) -> u64 {
    let entries = message.frame.entries.len() as u64;
    message.frame.entries.payload_bytes() as u64 + 16 * entries + 8 * message.drops.len() as u64 + 64
}

/// Cost of a live message.
pub fn live_cost(live: &Live) -> u64 {
    live.records.len() as u64 + 64
}

/// A window over a running total.
///
/// # Invariants
/// - Returned never exceeds sent: a peer that acknowledges what was never sent is refused.
#[derive(Clone, Copy, Debug)]
pub struct Credit {
    window: u64,
    sent: u64,
    returned: u64,
}

impl Credit {
    /// Nothing on its way.
    pub fn new(window: u64) -> Self {
        Self { window, sent: 0, returned: 0 }
    }

    /// Whether something may be sent. One message may overshoot the window: a frame larger than the window must still move.
    pub fn is_open(&self) -> bool {
        self.on_the_way() < self.window
    }

    /// Bytes sent and not yet durable at the target.
    pub fn on_the_way(&self) -> u64 {
        self.sent - self.returned
    }

    /// Bytes durable at the target.
    pub fn returned(&self) -> u64 {
        self.returned
    }

    /// Counts what is being sent.
    pub fn spend(&mut self, cost: u64) {
        self.sent += cost;
    }

    /// Takes the target's running total of durable bytes. False when it is impossible.
    #[must_use]
    pub fn give_back(&mut self, total: u64) -> bool {
        let possible = (self.returned..=self.sent).contains(&total);
        if possible {
            self.returned = total;
        }
        possible
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credits_open_and_close() {
        let mut credit = Credit::new(100);
        credit.spend(99);
        assert!(credit.is_open());
        credit.spend(50);
        assert!(!credit.is_open());
        assert!(credit.give_back(60));
        assert!(credit.is_open());
        assert!(!credit.give_back(59), "totals never fall");
        assert!(!credit.give_back(150), "more than was sent");
        assert_eq!(credit.on_the_way(), 89);
    }
}
