//! What becomes of answers that wait when their fragment is served here no longer.
//!
//! A *stint* is one uninterrupted time in which this node serves a fragment. An answer belongs to the stint in which it was evaluated:
//! positions of the journal grow over all of them, so that what standbys have of a later stint says nothing about an earlier one, whose
//! last commits may have been set aside meanwhile.
//!
//! # Invariants
//! - A stint begins before the store's gate opens and ends behind its closing: what is evaluated reads the number of its own.

use std::collections::{BTreeMap, VecDeque};

use limosa_core::FragmentId;
use limosa_engine::ownership::Gate;

/// Stints of a fragment that ended with a committed move and are remembered: far more than end within an `ack_timeout`.
const GIVEN_MAX: usize = 8;

/// How the stint stands in which something was evaluated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// It lasts, or it is not known yet how it ended.
    Open,
    /// A committed move of this node's own ended it: the new owner proved that it has everything of it on its disk.
    Given,
    /// Somebody took over: nobody here can say what the new owner has.
    Lost,
}

/// The stints of one fragment.
#[derive(Default, Debug)]
struct Served {
    number: u64,
    is_on: bool,
    /// The last one ended otherwise than by a committed move.
    is_lost: bool,
    given: VecDeque<u64>,
}

/// The stints of all fragments.
#[derive(Default, Debug)]
pub(in super::super) struct Stints(BTreeMap<FragmentId, Served>);

impl Stints {
    /// The store's gate is about to be this one. Called before it is set.
    pub(in super::super) fn before(&mut self, fragment: FragmentId, gate: Gate) {
        if gate == Gate::Closed {
            return;
        }
        let served = self.0.entry(fragment).or_default();
        if !served.is_on {
            served.number += 1;
            (served.is_on, served.is_lost) = (true, false);
        }
    }

    /// The store's gate is this one. Called once it is set.
    pub(in super::super) fn behind(&mut self, fragment: FragmentId, gate: Gate) {
        if let Some(served) = self.0.get_mut(&fragment).filter(|_| gate == Gate::Closed) {
            served.is_on = false;
        }
    }

    /// A move of this node's own took the fragment elsewhere.
    pub(in super::super) fn given(&mut self, fragment: FragmentId) {
        let served = self.0.entry(fragment).or_default();
        if served.given.len() == GIVEN_MAX {
            served.given.pop_front();
        }
        served.given.push_back(served.number);
    }

    /// The fragment is this node's no longer; told behind [`Stints::given`] where that is why.
    pub(in super::super) fn lost(&mut self, fragment: FragmentId) {
        self.0.entry(fragment).or_default().is_lost = true;
    }

    /// The stint that lasts, or that was the last.
    pub(super) fn current(&self, fragment: FragmentId) -> u64 {
        self.0.get(&fragment).map_or(0, |served| served.number)
    }

    pub(super) fn fate(&self, fragment: FragmentId, stint: u64) -> Fate {
        match self.0.get(&fragment) {
            Some(served) if served.given.contains(&stint) => Fate::Given,
            Some(served) if stint < served.number || (served.is_lost && !served.is_on) => Fate::Lost,
            _ => Fate::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const F: FragmentId = FragmentId(7);

    fn set(stints: &mut Stints, gate: Gate) {
        stints.before(F, gate);
        stints.behind(F, gate);
    }

    #[test]
    fn a_fragment_that_leaves_and_comes_back_answers_for_its_last_stint_only_as_the_first_one_ended() {
        let mut stints = Stints::default();
        set(&mut stints, Gate::Parked);
        set(&mut stints, Gate::Serving);
        let first = stints.current(F);
        set(&mut stints, Gate::Parked);
        set(&mut stints, Gate::Serving);
        assert_eq!((stints.current(F), stints.fate(F, first)), (first, Fate::Open), "a cutover that was given up is no end");
        set(&mut stints, Gate::Closed);
        assert_eq!(stints.fate(F, first), Fate::Open, "why is told next");
        stints.given(F);
        stints.lost(F);
        assert_eq!(stints.fate(F, first), Fate::Given);
        set(&mut stints, Gate::Serving);
        let second = stints.current(F);
        assert_eq!((stints.fate(F, first), stints.fate(F, second)), (Fate::Given, Fate::Open));
        set(&mut stints, Gate::Closed);
        stints.lost(F);
        assert_eq!((stints.fate(F, first), stints.fate(F, second)), (Fate::Given, Fate::Lost));
        set(&mut stints, Gate::Serving);
        let third = stints.current(F);
        assert_eq!((stints.fate(F, second), stints.fate(F, third)), (Fate::Lost, Fate::Open));
    }

    #[test]
    fn a_stint_whose_end_was_never_explained_is_lost_once_the_next_one_begins() {
        let mut stints = Stints::default();
        set(&mut stints, Gate::Serving);
        let first = stints.current(F);
        set(&mut stints, Gate::Closed);
        stints.before(F, Gate::Serving);
        assert_eq!(stints.fate(F, first), Fate::Lost, "before the gate opens");
        for _ in 0..20 {
            set(&mut stints, Gate::Serving);
            set(&mut stints, Gate::Closed);
            stints.given(F);
        }
        assert_eq!(stints.0[&F].given.len(), GIVEN_MAX);
    }
}
