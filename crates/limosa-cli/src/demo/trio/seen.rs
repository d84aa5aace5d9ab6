//! What clients saw of a scene: how long requests took, for how long nothing was acknowledged, what went wrong.

use std::time::Duration;

use serde::Serialize;

use crate::demo::model::Changed;

/// One request and its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Op {
    /// When its answer came, from the beginning of the load.
    pub(super) answered: Duration,
    /// How long it took, everything that the client did about it included.
    pub(super) took: Duration,
    pub(super) slot: u16,
    /// Key and value of a write; 0: a read.
    pub(super) written_bytes: u64,
}

/// Everything that the clients of a scene saw.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) took: Duration,
    pub(super) ops: Vec<Op>,
    pub(super) errors: u64,
    /// Reads that did not show what had been acknowledged.
    pub(super) lost: u64,
}

/// The same in a few figures.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(in crate::demo) struct ClientSeen {
    /// Reads and writes that were answered.
    pub(in crate::demo) requests: u64,
    /// Longest time in which no write was acknowledged to any client.
    pub(in crate::demo) pause_ms: f64,
    /// Half of the requests took at most so long.
    pub(in crate::demo) p50_ms: f64,
    /// 99 of 100.
    pub(in crate::demo) p99_ms: f64,
    /// 999 of 1000.
    pub(in crate::demo) p999_ms: f64,
    /// All.
    pub(in crate::demo) max_ms: f64,
    /// Answers that an application gets to see as errors.
    pub(in crate::demo) errors: u64,
    /// Acknowledged writes that a later read, or a copy at the end, did not show.
    pub(in crate::demo) lost_writes: u64,
}

impl Seen {
    /// The figures; `lost` entries were found at the end.
    pub(super) fn figures(&self, lost: u64) -> ClientSeen {
        let mut took: Vec<Duration> = self.ops.iter().map(|op| op.took).collect();
        took.sort_unstable();
        // The smallest that so many of a thousand do not exceed.
        let of_thousand = |share: usize| took.get((took.len() * share).div_ceil(1000).saturating_sub(1)).map_or(0.0, |took| ms(*took));
        ClientSeen {
            requests: self.ops.len() as u64,
            pause_ms: ms(self.pause()),
            p50_ms: of_thousand(500),
            p99_ms: of_thousand(990),
            p999_ms: of_thousand(999),
            max_ms: of_thousand(1000),
            errors: self.errors,
            lost_writes: self.lost + lost,
        }
    }

    fn pause(&self) -> Duration {
        let mut at: Vec<Duration> = self.writes().map(|op| op.answered).chain([Duration::ZERO, self.took]).collect();
        at.sort_unstable();
        at.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    /// Writes, as often as they were made.
    pub(super) fn written(&self, counts: impl Fn(&Op) -> bool) -> Changed {
        let mut written = Changed::default();
        for op in self.writes().filter(|op| counts(op)) {
            written.entries += 1;
            written.bytes += op.written_bytes;
        }
        written
    }

    fn writes(&self) -> impl Iterator<Item = &Op> {
        self.ops.iter().filter(|op| op.written_bytes > 0)
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn op(answered: u32, took: u32, written_bytes: u64) -> Op {
        Op { answered: answered * MS, took: took * MS, slot: 7, written_bytes }
    }

    #[test]
    fn percentiles_are_times_that_were_seen_and_the_pause_is_between_acknowledged_writes() {
        let mut ops: Vec<Op> = (1..=1000).map(|i| op(i, 1, 10)).collect();
        ops[500].took = 500 * MS;
        ops.extend((1..=50).map(|i| op(1000 + i, 2, 0))); // only reads are answered for 50 ms
        ops.push(op(1051, 60, 10));
        let seen = Seen { took: 1060 * MS, ops, errors: 3, lost: 1 };
        let figures = seen.figures(2);
        assert_eq!((figures.requests, figures.p50_ms, figures.p99_ms, figures.p999_ms, figures.max_ms), (1051, 1.0, 2.0, 60.0, 500.0));
        assert_eq!((figures.pause_ms, figures.errors, figures.lost_writes), (51.0, 3, 3));
        assert_eq!(seen.written(|op| op.answered > 1000 * MS), Changed { entries: 1, bytes: 10 });
    }

    #[test]
    fn clients_that_were_never_answered_saw_one_pause() {
        let seen = Seen { took: 20 * MS, ..Seen::default() };
        assert_eq!((seen.figures(0).pause_ms, seen.figures(0).max_ms), (20.0, 0.0));
    }
}
