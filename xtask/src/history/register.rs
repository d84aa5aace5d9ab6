//! The register checker: one pass in the order of time and one in the order of versions, for millions of operations.
//!
//! Versions make the order of a fragment's writes known, so nothing is searched:
//!
//! 1. a write that was acknowledged before something was sent is not newer than it (a write: older than it), fragment by fragment. Versions that
//!    reads name set no bound: the fragment's newest commit may still wait for its acknowledgement, on another key, and be lost;
//! 2. a version is given to one write, and an epoch's writes are answered by one node;
//! 3. a key's values follow each other: from the version that wrote a value to the last at which it was read, no other value was there.
//!
//! A write of unknown outcome has no version: it is known by the reads that found it, and happened if there is one.

use std::collections::{BTreeMap, HashMap};

use super::operation::{Operation, Version, What};

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// A read found what nobody had written to this key by then.
    FromNowhere,
    /// An answer was about an older state than one that had been given before.
    WentBack,
    /// Two writes have one version.
    GivenTwice,
    /// Two nodes answered writes in one epoch of one fragment.
    TwoOwners,
    /// Two values of a key hold at one version: a write was lost, or reads found an old value.
    Overlap,
}

/// A fault and the operations that show it.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) fault: Fault,
    pub(crate) shown_by: Vec<Operation>,
}

/// Faults that are told of: one breaks much.
const VIOLATIONS_MAX: usize = 20;

/// Everything in `history` that one register a key, changed in the order of versions, does not explain.
pub(crate) fn check(history: &[Operation]) -> Vec<Violation> {
    let mut found = Vec::new();
    order_of_time(history, &mut found);
    writers(history, &mut found);
    values(history, &mut found);
    found.truncate(VIOLATIONS_MAX);
    found
}

fn is_write(operation: &Operation) -> bool {
    matches!(operation.what, What::Write(_))
}

/// Rule 1.
fn order_of_time(history: &[Operation], found: &mut Vec<Violation>) {
    // (moment, whether something returns then, which): at one moment what is sent comes first, since it overlaps.
    let mut moments = Vec::with_capacity(2 * history.len());
    for (at, operation) in history.iter().enumerate() {
        let Some(returned) = operation.returned.filter(|_| operation.seen.is_some()) else { continue };
        moments.push((operation.invoked, false, at));
        moments.push((returned, true, at));
    }
    moments.sort_unstable();
    let mut newest: HashMap<u32, (Version, usize)> = HashMap::new();
    let mut bound: Vec<Option<(Version, usize)>> = vec![None; history.len()];
    for (_, returns, at) in moments {
        let operation = &history[at];
        let Some(seen) = operation.seen else { continue };
        if !returns {
            bound[at] = newest.get(&seen.fragment).copied();
            continue;
        }
        if let Some((floor, before)) = bound[at].filter(|_| !operation.may_be_old)
            && (seen.version < floor || is_write(operation) && seen.version == floor)
        {
            found.push(Violation { fault: Fault::WentBack, shown_by: vec![history[before], *operation] });
        }
        if is_write(operation) {
            let newest = newest.entry(seen.fragment).or_insert((seen.version, at));
            *newest = (*newest).max((seen.version, at));
        }
    }
}

/// Rule 2.
fn writers(history: &[Operation], found: &mut Vec<Violation>) {
    let (mut given, mut owners) = (HashMap::new(), HashMap::new());
    for operation in history.iter().filter(|operation| is_write(operation) && operation.returned.is_some()) {
        let Some(seen) = operation.seen else { continue };
        if let Some(other) = given.insert((seen.fragment, seen.version), operation) {
            found.push(Violation { fault: Fault::GivenTwice, shown_by: vec![*other, *operation] });
        }
        let owner: &mut &Operation = owners.entry((seen.fragment, seen.version.0)).or_insert(operation);
        if owner.node != operation.node {
            found.push(Violation { fault: Fault::TwoOwners, shown_by: vec![**owner, *operation] });
        }
    }
}

/// From when to when a value was there, by version, and the operations that say so.
struct Life {
    first: (Version, usize),
    last: (Version, usize),
}

/// Rule 3.
fn values(history: &[Operation], found: &mut Vec<Violation>) {
    let mut writes = HashMap::new();
    for (at, operation) in history.iter().enumerate() {
        if let What::Write(value) = operation.what {
            writes.insert((operation.key, value), at);
        }
    }
    let mut lives: BTreeMap<u32, HashMap<Option<u64>, Life>> = BTreeMap::new();
    for (at, operation) in history.iter().enumerate() {
        let value = match operation.what {
            What::Write(value) => Some(value),
            What::Read(value) => value,
        };
        if let (What::Read(Some(value)), Some(returned)) = (operation.what, operation.returned) {
            match writes.get(&(operation.key, value)) {
                Some(write) if history[*write].invoked <= returned => {}
                write => {
                    let shown_by = write.map(|write| history[*write]).into_iter().chain([*operation]).collect();
                    found.push(Violation { fault: Fault::FromNowhere, shown_by });
                    continue;
                }
            }
        }
        let (Some(seen), Some(_)) = (operation.seen, operation.returned) else { continue };
        let here = (seen.version, at);
        let life = lives.entry(operation.key).or_default().entry(value).or_insert(Life { first: here, last: here });
        (life.first, life.last) = (life.first.min(here), life.last.max(here));
    }
    for lives in lives.into_values() {
        overlaps(history, lives, &writes, found);
    }
}

fn overlaps(history: &[Operation], lives: HashMap<Option<u64>, Life>, writes: &HashMap<(u32, u64), usize>, found: &mut Vec<Violation>) {
    let mut lives: Vec<(Option<u64>, Life)> = lives.into_iter().collect();
    for (value, life) in &mut lives {
        // Nothing was there before the first write; and a value that was read before its own version is a fault of its own.
        if value.is_none() {
            life.first.0 = (0, 0);
        }
        let first = &history[life.first.1];
        let write = value.and_then(|value| writes.get(&(first.key, value))).map(|write| history[*write]);
        if let Some(written) = write.filter(|write| write.returned.is_some()).and_then(|write| write.seen)
            && life.first.0 < written.version
        {
            found.push(Violation { fault: Fault::FromNowhere, shown_by: write.into_iter().chain([*first]).collect() });
        }
    }
    lives.sort_unstable_by_key(|(_, life)| (life.first.0, life.last.0));
    let mut longest: Option<&Life> = None;
    for (_, life) in &lives {
        if let Some(before) = longest.filter(|before| life.first.0 <= before.last.0) {
            let shown_by = [before.first.1, life.first.1, before.last.1].map(|at| history[at]).to_vec();
            found.push(Violation { fault: Fault::Overlap, shown_by });
        }
        if longest.is_none_or(|before| life.last.0 > before.last.0) {
            longest = Some(life);
        }
    }
}

#[cfg(test)]
mod tests;
