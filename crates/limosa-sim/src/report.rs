//! What many worlds came to.

use std::fmt;
use std::time::Duration;

use crate::fault::{Counts, Fault};
use crate::point::{Hits, Point};

/// Sums over worlds.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Worlds that ran.
    pub worlds: u64,
    /// Steps taken.
    pub steps: u64,
    /// Virtual time, microseconds.
    pub simulated_us: u64,
    /// Commits acknowledged to clients.
    pub acknowledged: u64,
    /// Keys of an owner compared with the oracle.
    pub compared: u64,
    /// Fragments of standbys judged at some step.
    pub judged: u64,
    /// Sessions that ended, by whatever end.
    pub sessions: u64,
    /// Starts of nodes.
    pub starts: u64,
    /// Calls that met a damaged block and said so.
    pub refused_damage: u64,
    /// Faults brought about, by kind.
    pub faults: Counts,
    /// Crash points hit.
    pub points: Hits,
}

impl Report {
    /// Adds another one's sums.
    pub fn add(&mut self, other: &Self) {
        self.worlds += other.worlds;
        self.steps += other.steps;
        self.simulated_us += other.simulated_us;
        self.acknowledged += other.acknowledged;
        self.compared += other.compared;
        self.judged += other.judged;
        self.sessions += other.sessions;
        self.starts += other.starts;
        self.refused_damage += other.refused_damage;
        for (fault, count) in &other.faults {
            *self.faults.entry(*fault).or_default() += count;
        }
        for (point, count) in &other.points {
            *self.points.entry(*point).or_default() += count;
        }
    }

    /// Kinds of fault that no world had.
    pub fn missing(&self) -> Vec<Fault> {
        Fault::all().filter(|fault| !self.faults.contains_key(fault)).collect()
    }

    /// Crash points that no world hit.
    pub fn points_missing(&self) -> Vec<Point> {
        Point::all().filter(|point| !self.points.contains_key(point)).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = Duration::from_micros(self.simulated_us).as_secs_f64() / 3_600.0;
        writeln!(f, "{} worlds, {} events, {hours:.1} simulated hours", self.worlds, self.steps)?;
        writeln!(
            f,
            "checked: {} acknowledged commits, {} keys against the oracle, {} fragments of standbys",
            self.acknowledged, self.compared, self.judged
        )?;
        writeln!(f, "{} sessions, {} starts, {} calls told of damage", self.sessions, self.starts, self.refused_damage)?;
        let faults: Vec<String> = self.faults.iter().map(|(fault, count)| format!("{fault} {count}")).collect();
        writeln!(f, "{} faults: {}", self.faults.values().sum::<u64>(), faults.join(", "))?;
        let least = self
            .points
            .iter()
            .min_by_key(|(_, count)| **count)
            .map_or(String::new(), |(point, count)| format!("; rarest: {point} {count}"));
        write!(
            f,
            "crash points: {} of {} hit, {} times in all{least}",
            self.points.len(),
            Point::all().count(),
            self.points.values().sum::<u64>()
        )
    }
}
