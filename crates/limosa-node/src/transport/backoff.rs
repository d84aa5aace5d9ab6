//! How long to wait before the next try to connect: doubling, bounded, and spread so that peers don't come back in step.

use std::time::Duration;

/// The first wait is at most this.
pub const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// No wait is longer than this.
pub const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// A sequence of waits. Same seed, same sequence.
#[derive(Clone, Debug)]
pub struct Backoff {
    state: u64,
    ceiling: Duration,
}

impl Backoff {
    /// Starts with short waits; `seed` decides how they are spread.
    pub fn new(seed: u64) -> Self {
        Self { state: seed, ceiling: BACKOFF_MIN }
    }

    /// The wait before the next try: from half the ceiling up to it. The ceiling doubles each time.
    pub fn next_wait(&mut self) -> Duration {
        let ceiling = self.ceiling;
        self.ceiling = (ceiling * 2).min(BACKOFF_MAX);
        let half = ceiling / 2;
        half + half.mul_f64(self.random_unit())
    }

    /// A try worked: the next failure starts with short waits again. Call it once a session is under way, not at the handshake,
    /// or a peer that fails right behind it is asked twenty times a second.
    pub fn reset(&mut self) {
        self.ceiling = BACKOFF_MIN;
    }

    /// In [0, 1): `SplitMix64` (Steele, Lea, Flood 2014).
    fn random_unit(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound_and_start_over_after_a_reset() {
        let mut backoff = Backoff::new(7);
        let mut ceiling = BACKOFF_MIN;
        for _ in 0..20 {
            let wait = backoff.next_wait();
            assert!(wait >= ceiling / 2 && wait <= ceiling, "{wait:?} under {ceiling:?}");
            ceiling = (ceiling * 2).min(BACKOFF_MAX);
        }
        assert_eq!(ceiling, BACKOFF_MAX);
        backoff.reset();
        assert!(backoff.next_wait() <= BACKOFF_MIN);
    }

    #[test]
    fn seeds_decide_the_spread() {
        let waits = |seed| {
            let mut backoff = Backoff::new(seed);
            std::array::from_fn::<_, 8, _>(|_| backoff.next_wait())
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }
}
