//! Writers of a fragment whose move can't keep up with them are slowed: each connection rests for a share of its own time.
//!
//! A rest before the answers is never longer than what the connection took since its last one, so that a writer keeps at least half of its
//! rate whatever it is: what plans promise. Whoever waits for the answer before the next write is slowed by just that share; readers, and
//! writers of other fragments, are not.

use std::time::Duration;

use tokio::time::Instant;

/// No rest is longer: a writer that comes once a minute is no reason to wait for half a minute.
const REST_MAX: Duration = Duration::from_millis(250);
/// Largest share, in thousandths.
const SHARE_MAX: u16 = 500;

/// When a connection rested last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    rested_at: Option<Instant>,
}

impl Pace {
    /// How long to rest at `now`, so that a writer loses `share_per_mille` of its rate.
    pub(crate) fn rest(&mut self, now: Instant, share_per_mille: u16) -> Duration {
        let share = u32::from(share_per_mille.min(SHARE_MAX));
        if share == 0 {
            self.rested_at = None;
            return Duration::ZERO;
        }
        // The first time nothing is known of its rate: it is measured from here on.
        let worked = self.rested_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let rest = (worked * share / (1000 - share)).min(REST_MAX);
        self.rested_at = Some(now + rest);
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Writes in a second of a writer that takes 1 ms for each.
    fn writes(share_per_mille: u16) -> u32 {
        let (mut pace, begin) = (Pace::default(), Instant::now());
        let (mut now, mut count) = (begin, 0);
        while now < begin + 1000 * MS {
            now += MS;
            now += pace.rest(now, share_per_mille);
            count += 1;
        }
        count
    }

    #[test]
    fn a_writer_keeps_the_rate_that_the_plan_left_it_and_never_less_than_half() {
        for (share, expected) in [(0, 1000), (250, 751), (500, 501), (900, 501)] {
            assert_eq!(writes(share), expected, "{share}");
        }
    }

    #[test]
    fn a_rare_writer_rests_for_a_moment_only() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert_eq!(pace.rest(now, 500), Duration::ZERO);
        assert_eq!(pace.rest(now + 60_000 * MS, 500), REST_MAX);
        assert_eq!(pace.rest(now + 60_000 * MS, 0), Duration::ZERO);
        assert_eq!(pace.rest(now + 61_000 * MS, 500), Duration::ZERO, "slowed anew, it is measured anew");
    }
}
