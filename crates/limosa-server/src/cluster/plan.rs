//! What an operation would do to which fragment, what it costs, and what blocks it.

use super::leaving::{decommission, fail_over, hand_over};
use super::placing::copy_of;
use super::rebalance::rebalance;
use super::{World, id};
use crate::http::api::{Cell, Chosen, Method, MoveTo, Operation, OperationPlan, Step};

/// How long requests wait in a cutover, as long as none was measured here: the bar that moves are built for, milliseconds.
const PAUSE_MS: f64 = 10.0;
/// Writers are slowed by at most this share while a move can't keep up; beyond it the move is given up.
const SLOWING_PERCENT: u8 = 50;

/// An operation that makes no sense in this cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Unplanned {
    /// There is no such fragment.
    NoFragment(u32),
    /// There is no such node.
    NoNode(String),
    /// A fragment lies only partly in the slots.
    Cut(u32),
    /// No fragment is named.
    Nothing,
}

/// What is to be done, and what keeps it from being done.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    pub(super) steps: Vec<Step>,
    pub(super) blocked: Vec<String>,
}

/// Plans an operation. Same world, same plan.
pub(crate) fn plan(world: &World, operation: Operation) -> Result<OperationPlan, Unplanned> {
    let mut draft = match &operation {
        Operation::Move(to) => place(world, to, "move")?,
        Operation::Stage(to) => place(world, to, "stage")?,
        Operation::Rebalance => rebalance(world),
        Operation::Handover(of) => hand_over(world, known(world, &of.node)?),
        Operation::Decommission(of) => decommission(world, known(world, &of.node)?),
        Operation::Failover(lost) => fail_over(world, lost)?,
        Operation::Split { .. } | Operation::Merge { .. } => unreachable!("these are planned where the fragment's bytes are"),
    };
    if let Some(why) = &world.outage {
        draft.blocked.push(format!("the manifest is away ({why}): bring it back; owners go on serving meanwhile"));
    }
    Ok(finish(world, operation, draft))
}

fn finish(world: &World, operation: Operation, draft: Draft) -> OperationPlan {
    let bytes = draft.steps.iter().map(|step| step.bytes).sum();
    let changes_owner = |step: &&Step| matches!(step.action.as_str(), "move" | "promote");
    let cuts = draft.steps.iter().filter(changes_owner).count();
    let pause_ms = if cuts == 0 { 0.0 } else { world.pause_ms.unwrap_or(PAUSE_MS) };
    let seconds = if bytes == 0 { Some(cuts as f64 * pause_ms / 1000.0) } else { world.rate_bytes_per_s.map(|rate| bytes as f64 / rate) };
    let slows = matches!(operation, Operation::Move(_) | Operation::Rebalance | Operation::Decommission(_)) && bytes > 0;
    OperationPlan {
        id: id::of(&operation, &material(world, &draft.steps), bytes),
        risk: risk(&operation).to_owned(),
        operation,
        steps: draft.steps,
        bytes,
        seconds,
        pause_ms,
        slowing_percent: if slows { SLOWING_PERCENT } else { 0 },
        blocked_because: draft.blocked,
    }
}

/// What must not have changed when the plan is carried out: who owns what at which epoch, and where it goes.
fn material(world: &World, steps: &[Step]) -> Vec<String> {
    let one = |step: &Step| {
        let epoch = world.cell(step.fragment).map_or(0, |cell| cell.epoch);
        format!("{} f{} {epoch} {:?} {:?} {}", step.action, step.fragment, step.from, step.to, step.method)
    };
    steps.iter().map(one).collect()
}

fn risk(operation: &Operation) -> &'static str {
    match operation {
        Operation::Failover(lost) if lost.accept_loss => {
            "writes that only the lost owner acknowledged are lost; its copies of them are set aside in files when it returns"
        }
        Operation::Failover(_) => "none where a complete copy is promoted: what was acknowledged at the ack level is there",
        Operation::Stage(_) => "none: a copy is made, ownership does not change",
        Operation::Handover(_) => "none: only complete copies take over; what can't go stays",
        _ => "none: a move that fails leaves the source serving, and nothing half-visible at the target",
    }
}

fn known<'w>(world: &World, name: &'w str) -> Result<&'w str, Unplanned> {
    world.node(name).map(|_| name).ok_or_else(|| Unplanned::NoNode(name.to_owned()))
}

/// The fragments that are meant, in key order, each once.
pub(super) fn chosen<'w>(world: &'w World, chosen: &Chosen) -> Result<Vec<&'w Cell>, Unplanned> {
    if let Some(absent) = chosen.fragments.iter().find(|id| world.cell(**id).is_none()) {
        return Err(Unplanned::NoFragment(*absent));
    }
    let mut cells = Vec::new();
    for cell in &world.cells {
        let touched = chosen.slots.iter().filter(|slots| slots.first <= cell.slots.last && cell.slots.first <= slots.last);
        let whole = touched.clone().any(|slots| slots.first <= cell.slots.first && cell.slots.last <= slots.last);
        let is_named = chosen.fragments.contains(&cell.fragment);
        if touched.count() > 0 && !whole && !is_named {
            return Err(Unplanned::Cut(cell.fragment));
        }
        if is_named || whole {
            cells.push(cell);
        }
    }
    if cells.is_empty() { Err(Unplanned::Nothing) } else { Ok(cells) }
}

fn place(world: &World, to: &MoveTo, action: &str) -> Result<Draft, Unplanned> {
    let target = world.node(&to.to).ok_or_else(|| Unplanned::NoNode(to.to.clone()))?;
    let mut draft = Draft::default();
    if !target.alive {
        draft.blocked.push(format!("{} was not heard of lately: start it, or name another node", target.name));
    }
    if target.leaving {
        draft.blocked.push(format!("{} is being emptied: name another node", target.name));
    }
    for cell in chosen(world, &to.chosen())? {
        let is_there = cell.owner.as_ref() == Some(&to.to) || (action == "stage" && cell.sync_set.contains(&to.to));
        if is_there || cell.moving_to.as_ref() == Some(&to.to) {
            continue;
        }
        draft.blocked.extend(hindrance(cell));
        draft.steps.push(step(cell, action, &to.to));
    }
    Ok(draft)
}

/// What keeps a fragment from being moved at all.
pub(super) fn hindrance(cell: &Cell) -> Option<String> {
    let id = cell.fragment;
    match (&cell.owner, &cell.moving_to) {
        (None, _) => Some(format!("f{id} has no owner right now: wait for the failover, or run `limosa failover {id}`")),
        (_, Some(to)) => Some(format!("f{id} is on its way to {to}: wait, or run `limosa cancel`")),
        _ => None,
    }
}

/// A step that brings a fragment to a node.
pub(super) fn step(cell: &Cell, action: &str, to: &str) -> Step {
    let (method, bytes, why) = copy_of(cell, to);
    Step {
        fragment: cell.fragment,
        slots: cell.slots,
        action: action.to_owned(),
        from: cell.owner.clone(),
        to: Some(to.to_owned()),
        method,
        bytes,
        why,
    }
}

/// A step for which nothing has to be brought anywhere.
pub(super) fn bare(cell: &Cell, action: &str, from: &str, to: Option<&str>, why: impl Into<String>) -> Step {
    Step {
        fragment: cell.fragment,
        slots: cell.slots,
        action: action.to_owned(),
        from: Some(from.to_owned()),
        to: to.map(str::to_owned),
        method: Method::Nothing,
        bytes: 0,
        why: why.into(),
    }
}
