//! Splits and merges: what they would do, and doing it.

use limosa_core::key::slot_start;
use limosa_core::slot::{SLOTS, slot_of};
use limosa_core::{FragmentFacts, FragmentId, KeyRange};
use limosa_store::{Cut, ReframeError, Store};

use super::refusal;
use crate::cluster::id;
use crate::http::Answer;
use crate::http::api::{Method, Operated, Operation, OperationPlan, Slots, Step};

/// What nothing can spoil: one journal record, and every live standby follows it.
const RISK: &str = "none: one journal record, taken back by the opposite operation; no entry moves and no request waits for a copy";

/// Plans a split or merge on this node's own fragments.
pub(super) fn plan(store: &Store, operation: Operation) -> Answer<OperationPlan> {
    let steps = match &operation {
        Operation::Split { fragment, at_key, at_slot } => split_steps(store, *fragment, at_key.as_deref(), *at_slot)?,
        Operation::Merge { left, right } => merge_steps(&store.cut(), *left, *right)?,
        other => unreachable!("{} is planned elsewhere", other.word()),
    };
    let material: Vec<String> = steps.iter().map(|step| format!("{} {}", step.fragment, step.slots)).collect();
    Ok(OperationPlan {
        id: id::of(&operation, &material, 0),
        operation,
        steps,
        bytes: 0,
        seconds: Some(0.0),
        pause_ms: 0.0,
        slowing_percent: 0,
        risk: RISK.to_owned(),
        blocked_because: Vec::new(),
    })
}

/// Does it. Durable when it returns.
pub(super) fn run(store: &Store, operation: &Operation, plan: String) -> Answer<Operated> {
    let (made, message) = match operation {
        Operation::Split { fragment, at_key, at_slot } => {
            let at = boundary(store, *fragment, at_key.as_deref(), *at_slot)?;
            let (left, right) = store.split(FragmentId(*fragment), &at).map_err(|error| refusal::reframe(&error))?;
            (vec![left.0, right.0], split_done(*fragment, left.0, right.0))
        }
        Operation::Merge { left, right } => {
            let merged = store.merge(FragmentId(*left), FragmentId(*right)).map_err(|error| refusal::reframe(&error))?;
            (vec![merged.0], merge_done(*left, *right, merged.0))
        }
        other => unreachable!("{} is done elsewhere", other.word()),
    };
    Ok(Operated { plan, made, message, ..Operated::default() })
}

pub(super) fn split_done(fragment: u32, left: u32, right: u32) -> String {
    format!("f{fragment} is f{left} and f{right} now")
}

pub(super) fn merge_done(left: u32, right: u32, made: u32) -> String {
    format!("f{left} and f{right} are f{made} now")
}

/// The first key of the right part.
pub(super) fn boundary(store: &Store, fragment: u32, at_key: Option<&str>, at_slot: Option<u16>) -> Answer<Vec<u8>> {
    let slot = match (at_key, at_slot) {
        (Some(_), Some(_)) => return Err(refusal::two_boundaries()),
        (Some(key), None) => slot_of(key.as_bytes()),
        (None, Some(slot)) if slot < SLOTS => slot,
        (None, Some(slot)) => return Err(refusal::no_slot(slot)),
        (None, None) => {
            return Ok(store.split_point(FragmentId(fragment)).map_err(|error| refusal::reframe(&error))?.to_vec());
        }
    };
    Ok(slot_start(slot).to_vec())
}

fn split_steps(store: &Store, fragment: u32, at_key: Option<&str>, at_slot: Option<u16>) -> Answer<Vec<Step>> {
    let at = boundary(store, fragment, at_key, at_slot)?;
    let cut = store.cut();
    let (id, unknown) = (FragmentId(fragment), || refusal::reframe(&ReframeError::Unknown { fragment: FragmentId(fragment) }));
    let view = cut.fragment(id).ok_or_else(unknown)?;
    let facts = view.facts();
    if !facts.range.contains(&at) || facts.range.start[..] == at[..] {
        return Err(refusal::reframe(&ReframeError::Outside { fragment: id, at: at.into() }));
    }
    let at = bytes::Bytes::from(at);
    let (low, high) =
        (KeyRange { start: facts.range.start.clone(), end: Some(at.clone()) }, KeyRange { start: at, end: facts.range.end.clone() });
    let left = view.summary(&low).map_err(|error| refusal::store(&error))?;
    let (live, live_bytes) = (facts.live.saturating_sub(left.live), facts.live_bytes.saturating_sub(left.live_bytes));
    Ok(vec![step(&facts, "split", &low, left.live, left.live_bytes), step(&facts, "split", &high, live, live_bytes)])
}

fn merge_steps(cut: &Cut, left: u32, right: u32) -> Answer<Vec<Step>> {
    let facts = |id: u32| {
        let unknown = || refusal::reframe(&ReframeError::Unknown { fragment: FragmentId(id) });
        cut.fragment(FragmentId(id)).map(limosa_store::FragmentView::facts).ok_or_else(unknown)
    };
    let (one, other) = (facts(left)?, facts(right)?);
    if one.range.end.as_deref() != Some(&other.range.start[..]) {
        let (left, right) = (FragmentId(left), FragmentId(right));
        return Err(refusal::reframe(&ReframeError::NotNeighbours { left, right }));
    }
    Ok([one, other].iter().map(|facts| step(facts, "merge", &facts.range, facts.live, facts.live_bytes)).collect())
}

fn step(facts: &FragmentFacts, action: &str, range: &KeyRange, live: u64, bytes: u64) -> Step {
    Step {
        fragment: facts.id.0,
        slots: Slots::of(range),
        action: action.to_owned(),
        from: None,
        to: None,
        method: Method::Nothing,
        bytes: 0,
        why: format!("{live} entries, {bytes} bytes; they stay where they are"),
    }
}
