//! What many worlds came to.

use std::fmt;

use crate::fault::{Counts, Fault};

/// Sums over worlds.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Worlds that ran.
    pub worlds: u64,
    /// Steps taken.
    pub steps: u64,
    /// Virtual time, milliseconds.
    pub simulated_ms: u64,
    /// Commits acknowledged to clients.
    pub acknowledged: u64,
    /// Comparisons of an owner's state with the oracle.
    pub compared: u64,
    /// Fragments of standbys judged at some step.
    pub judged: u64,
    /// Sessions that ended, by whatever end.
    pub sessions: u64,
    /// Starts of nodes.
    pub starts: u64,
    /// Faults brought about, by kind.
    pub faults: Counts,
}

impl Report {
    /// Adds another one's sums.
    pub fn add(&mut self, other: &Self) {
        self.worlds += other.worlds;
        self.steps += other.steps;
        self.simulated_ms += other.simulated_ms;
        self.acknowledged += other.acknowledged;
        self.compared += other.compared;
        self.judged += other.judged;
        self.sessions += other.sessions;
        self.starts += other.starts;
        for (fault, count) in &other.faults {
            *self.faults.entry(*fault).or_default() += count;
        }
    }

    /// Kinds of fault that no world had.
    pub fn missing(&self) -> Vec<Fault> {
        Fault::all().filter(|fault| !self.faults.contains_key(fault)).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.simulated_ms / 60_000;
        writeln!(f, "{} worlds, {} steps, {minutes} simulated minutes", self.worlds, self.steps)?;
        writeln!(f, "{} commits acknowledged, {} states compared with the oracle", self.acknowledged, self.compared)?;
        writeln!(f, "{} standby fragments judged, {} sessions, {} starts", self.judged, self.sessions, self.starts)?;
        let faults: Vec<String> = self.faults.iter().map(|(fault, count)| format!("{fault} {count}")).collect();
        write!(f, "faults: {}", faults.join(", "))
    }
}
