//! Whether a move gets anywhere under the writes that go on: slow the writers, slow them more, or give up with the rates.
//!
//! A policy: it compares what is left at both ends of a window and returns a choice. It never loops: there are two steps, then an end.

use std::time::Duration;

/// Shares by which writers are slowed, one after the other, in thousandths: never more than half.
const SHARES_PER_MILLE: [u16; 3] = [0, 250, 500];

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Choice {
    /// Go on.
    Keep,
    /// Slow the writers by this share, in thousandths.
    Slow(u16),
    /// It will not end in time, slowed by half. Bytes per second that were sent.
    GiveUp { transfer_bytes_per_s: u64 },
}

/// Watches one move.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Convergence {
    step: usize,
    /// When the window began, and what was left then.
    window: Option<(Duration, u64)>,
}

impl Convergence {
    /// By how much writers are slowed, in thousandths.
    pub(super) fn slowed_per_mille(&self) -> u16 {
        SHARES_PER_MILLE[self.step]
    }

    /// Nothing is being sent: nothing can be said.
    pub(super) fn pause(&mut self) {
        self.window = None;
    }

    /// `left` bytes are to be sent at `now`, `time_left` before the deadline; writers add `change_bytes_per_s`.
    pub(super) fn observe(&mut self, now: Duration, window: Duration, left: u64, time_left: Duration, change_bytes_per_s: u64) -> Choice {
        let Some((began, before)) = self.window else {
            self.window = Some((now, left));
            return Choice::Keep;
        };
        let took = now.saturating_sub(began);
        if took < window {
            return Choice::Keep;
        }
        self.window = Some((now, left));
        let nearer_per_s = per_second(before.saturating_sub(left), took);
        let is_in_time = nearer_per_s > 0 && u128::from(left) <= u128::from(nearer_per_s) * time_left.as_millis() / 1000;
        if is_in_time {
            return Choice::Keep;
        }
        if self.step + 1 < SHARES_PER_MILLE.len() {
            self.step += 1;
            return Choice::Slow(self.slowed_per_mille());
        }
        let farther_per_s = per_second(left.saturating_sub(before), took);
        Choice::GiveUp { transfer_bytes_per_s: (change_bytes_per_s + nearer_per_s).saturating_sub(farther_per_s) }
    }
}

fn per_second(bytes: u64, took: Duration) -> u64 {
    let per_s = u128::from(bytes) * 1000 / took.as_millis().max(1);
    u64::try_from(per_s).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn run(left: impl Fn(u64) -> u64) -> Vec<Choice> {
        let mut watch = Convergence::default();
        (0..8).map(|i| watch.observe(S * (2 * i as u32), 2 * S, left(i), 100 * S, 10_000)).collect()
    }

    #[test]
    fn a_move_that_gets_nearer_in_time_is_left_alone() {
        assert!(run(|i| 1_000_000 - i * 40_000).iter().all(|choice| *choice == Choice::Keep));
    }

    #[test]
    fn writers_are_slowed_twice_then_the_move_ends_with_the_rate() {
        let choices = run(|i| 1_000_000 + i * 2_000);
        assert_eq!(choices[..3], [Choice::Keep, Choice::Slow(250), Choice::Slow(500)]);
        assert_eq!(choices[3], Choice::GiveUp { transfer_bytes_per_s: 9_000 });
    }

    #[test]
    fn a_large_copy_that_is_slow_but_in_time_is_no_divergence() {
        let mut watch = Convergence::default();
        for i in 0..8u32 {
            let left = (1 << 40) - u64::from(i) * (200 << 20);
            assert_eq!(watch.observe(2 * S * i, 2 * S, left, Duration::from_secs(86_400), 0), Choice::Keep);
        }
    }
}
