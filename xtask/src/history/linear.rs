//! The linearizability checker of Wing and Gong, with Lowe's just-in-time order and memory: no versions, a few clients a key.
//!
//! Keys are registers of their own, so each is judged alone (Herlihy and Wing's locality). At every moment there is a set of possible states:
//! which of the operations under way have happened, and what the key then holds. When one returns, it must have happened in some of them.
//!
//! A write of unknown outcome that nobody read is left out: whatever a register explains with it, it explains without. One that was read
//! happened before the first of those reads returned. So every operation has an end, and few are under way at once.
//!
//! Sources: Wing and Gong, "Testing and verifying concurrent objects" (1993); Lowe, "Testing for linearizability" (2017).

use std::collections::{BTreeMap, HashMap, HashSet};

use super::operation::{Operation, What};

/// Operations under way at once, at most: one bit each.
const OPEN_MAX: usize = 64;
/// Possible states at once, at most. More means more clients a key than this checker is for.
const STATES_MAX: usize = 1 << 20;

/// Why a key's history has no order.
#[derive(Clone, Debug)]
pub(crate) enum Unlinear {
    /// No order explains this operation, which these were under way with or had come just before.
    Impossible { operation: Operation, around: Vec<Operation> },
    /// Too much was under way at once: not judged.
    TooMuch { key: u32 },
}

/// The first operation of each key that no order explains. Reads of copies that may be behind are not looked at.
pub(crate) fn check(history: &[Operation]) -> Vec<Unlinear> {
    let mut keys: BTreeMap<u32, Vec<Operation>> = BTreeMap::new();
    for operation in history.iter().filter(|operation| !operation.may_be_old) {
        keys.entry(operation.key).or_default().push(*operation);
    }
    keys.into_values().filter_map(|operations| check_key(bounded(operations)).err()).collect()
}

/// Every operation with the moment at which it must have happened.
fn bounded(mut operations: Vec<Operation>) -> Vec<Operation> {
    let mut read: HashMap<u64, u64> = HashMap::new();
    for operation in &operations {
        if let (What::Read(Some(value)), Some(returned)) = (operation.what, operation.returned) {
            read.entry(value).and_modify(|first| *first = returned.min(*first)).or_insert(returned);
        }
    }
    operations.retain_mut(|operation| {
        if let What::Write(value) = operation.what
            && operation.returned.is_none()
        {
            operation.returned = read.get(&value).copied();
        }
        operation.returned.is_some()
    });
    operations
}

/// What may be: which of those under way have happened, and the value.
type State = (u64, Option<u64>);

/// One key's operations under way.
struct Key<'a> {
    operations: &'a [Operation],
    /// The operation in each place; its bit in a state is the place's.
    open: Vec<Option<usize>>,
    states: HashSet<State>,
}

fn check_key(operations: Vec<Operation>) -> Result<(), Unlinear> {
    let mut moments: Vec<(u64, bool, usize)> = Vec::with_capacity(2 * operations.len());
    for (at, operation) in operations.iter().enumerate() {
        let returned = operation.returned.expect("each has an end");
        // A read may have found a value before it was sent, in a history that is wrong: its write then begins and ends at once.
        moments.push((operation.invoked, false, at));
        moments.push((returned.max(operation.invoked), true, at));
    }
    moments.sort_unstable();
    let mut key = Key { operations: &operations, open: Vec::new(), states: HashSet::from([(0, None)]) };
    for (_, returns, at) in moments {
        if !returns {
            key.begin(at)?;
        } else if !key.end(at)? {
            let around = key.open.iter().flatten().filter(|other| **other != at).map(|other| operations[*other]);
            let before = operations.iter().filter(|other| other.returned < Some(operations[at].invoked));
            let last = before.filter(|other| matches!(other.what, What::Write(_))).max_by_key(|other| other.returned);
            return Err(Unlinear::Impossible { operation: operations[at], around: last.copied().into_iter().chain(around).collect() });
        }
    }
    Ok(())
}

impl Key<'_> {
    fn begin(&mut self, at: usize) -> Result<(), Unlinear> {
        if let Some(place) = self.open.iter_mut().find(|place| place.is_none()) {
            *place = Some(at);
        } else if self.open.len() < OPEN_MAX {
            self.open.push(Some(at));
        } else {
            return Err(Unlinear::TooMuch { key: self.operations[at].key });
        }
        Ok(())
    }

    /// Keeps the states in which it has happened; whether there is one.
    fn end(&mut self, at: usize) -> Result<bool, Unlinear> {
        let place = self.open.iter().position(|open| *open == Some(at)).expect("it began");
        let bit = 1u64 << place;
        let mut seen = std::mem::take(&mut self.states);
        let mut ahead: Vec<State> = seen.iter().copied().collect();
        let mut kept = HashSet::new();
        while let Some((happened, value)) = ahead.pop() {
            if happened & bit != 0 {
                kept.insert((happened & !bit, value));
                continue;
            }
            for next in self.steps(happened, value) {
                if seen.insert(next) {
                    ahead.push(next);
                }
            }
            if seen.len() > STATES_MAX {
                return Err(Unlinear::TooMuch { key: self.operations[at].key });
            }
        }
        self.states = kept;
        self.open[place] = None;
        let is_possible = !self.states.is_empty();
        if !is_possible {
            self.open[place] = Some(at); // as it was, for whoever tells of it
        }
        Ok(is_possible)
    }

    /// States that one more operation leads to.
    fn steps(&self, happened: u64, value: Option<u64>) -> impl Iterator<Item = State> {
        self.open.iter().enumerate().filter_map(move |(place, open)| {
            let operation = &self.operations[(*open)?];
            let bit = 1u64 << place;
            match operation.what {
                _ if happened & bit != 0 => None,
                What::Write(new) => Some((happened | bit, Some(new))),
                What::Read(found) => (found == value).then_some((happened | bit, value)),
            }
        })
    }
}

#[cfg(test)]
mod tests;
