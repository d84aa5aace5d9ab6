//! What happened, in order: a hash to compare worlds by, and the last lines for people.

use std::collections::VecDeque;
use std::fmt::Display;

/// Lines kept for a failure's story.
const LINES_KEPT: usize = 120;

/// The trace of one world.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    lines: VecDeque<String>,
    is_kept_whole: bool,
}

impl Trace {
    pub(crate) fn new(is_kept_whole: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, lines: VecDeque::new(), is_kept_whole }
    }

    /// Notes one thing that happened at `now_ms`.
    pub(crate) fn note(&mut self, now_ms: u64, what: impl Display) {
        let line = format!("{now_ms:>7} ms  {what}");
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3); // FNV-1a: compared, never trusted
        }
        self.lines.push_back(line);
        if self.lines.len() > LINES_KEPT && !self.is_kept_whole {
            self.lines.pop_front();
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.iter().cloned().collect()
    }
}
