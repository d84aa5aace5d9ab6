//! The clock that deadlines are compared with: the machine's, but it never goes back and never jumps ahead.
//!
//! A clock that is set a year ahead by mistake would end every key with a deadline, at the owner and so everywhere. So time goes on with the
//! monotonic clock, and follows the wall clock by at most a tenth of the time that passes: an hour's jump ahead takes ten hours to be
//! believed, and a restart believes it at once. A clock that is set back slows time down and never turns it around: what has ended stays
//! ended. DESIGN: "a forward jump of the clock is refused".

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::options::Clock;

/// How often the wall clock is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Part of the time passed by which time may be bent towards the wall clock.
const SLEW: u32 = 10;
/// A difference that people are told of.
const TOLD_MS: u64 = 5_000;

/// Time that is bent but never jumps. Times since the Unix epoch in milliseconds, and since any fixed moment.
#[derive(Clone, Copy, Debug)]
struct Steady {
    at_ms: u64,
    since: Duration,
    is_told: bool,
}

impl Steady {
    fn new(wall_ms: u64, monotonic: Duration) -> Self {
        Self { at_ms: wall_ms, since: monotonic, is_told: false }
    }

    /// The time at a moment of the monotonic clock, when the wall clock says `wall_ms`.
    fn read(&mut self, wall_ms: impl FnOnce() -> u64, monotonic: Duration) -> u64 {
        let passed = monotonic.saturating_sub(self.since);
        let now_ms = self.at_ms + millis(passed);
        if passed < LOOK_EVERY {
            return now_ms;
        }
        let (wall_ms, most) = (wall_ms(), millis(passed / SLEW));
        let bent = wall_ms.clamp(now_ms - most, now_ms + most);
        let apart = wall_ms.abs_diff(now_ms);
        if apart > TOLD_MS && !self.is_told {
            tracing::warn!(
                apart_ms = apart,
                ahead = wall_ms > now_ms,
                "the machine's clock has jumped: deadlines follow it slowly; a restart believes it at once"
            );
        }
        *self = Self { at_ms: bent, since: monotonic, is_told: apart > TOLD_MS };
        bent
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The machine's clock, made steady.
pub(crate) fn system() -> Clock {
    let start = Instant::now();
    let steady = Mutex::new(Steady::new(wall_ms(), Duration::ZERO));
    Arc::new(move || steady.lock().unwrap_or_else(PoisonError::into_inner).read(wall_ms, start.elapsed()))
}

fn wall_ms() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY_MS: u64 = 86_400_000;

    #[test]
    fn a_jump_ahead_is_refused_and_a_jump_back_turns_nothing_around() {
        for (jump_ms, expected) in [(DAY_MS.cast_signed(), 66_000), (-DAY_MS.cast_signed(), 54_000), (2_000, 62_000), (-2_000, 58_000)] {
            let (start, mut steady) = (100 * DAY_MS, Steady::new(100 * DAY_MS, Duration::ZERO));
            let mut now = start;
            for tick in 1..=600u64 {
                let wall = (start + tick * 100).saturating_add_signed(jump_ms);
                let next = steady.read(|| wall, Duration::from_millis(tick * 100));
                assert!(next >= now, "time never goes back");
                now = next;
            }
            assert_eq!(now - start, expected, "a minute passed, the clock jumped by {jump_ms} ms");
        }
    }

    proptest! {
        #[test]
        fn no_clock_makes_time_pass_faster_than_by_a_tenth(walls in proptest::collection::vec((0u64..u64::MAX / 4, 1u64..5_000), 1..60)) {
            let mut steady = Steady::new(1_000_000, Duration::ZERO);
            let (mut passed, mut now) = (0, 1_000_000);
            for (wall, step) in walls {
                passed += step;
                let next = steady.read(|| wall, Duration::from_millis(passed));
                prop_assert!(next >= now);
                prop_assert!(next - 1_000_000 <= passed + passed / 10 + 1);
                now = next;
            }
        }
    }
}
