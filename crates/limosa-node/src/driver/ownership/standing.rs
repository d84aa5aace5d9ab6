//! What the front doors see of the machine: gates, read leases, moves.

use std::time::{Duration, Instant};

use limosa_engine::ownership::{Gate, Ownership, Phase, Standing};

use crate::driver::cluster::{Board, MoveStatus};

/// For reads that need nobody's leave.
const FOREVER: Duration = Duration::from_hours(24);

/// Writes down until when reads may be answered, and how far moves are. `began` is the machine's zero of time.
pub(super) fn post(board: &Board, machine: &Ownership, began: Instant) {
    let mut fast = board.fast();
    let serving: Vec<_> = fast.gates.iter().filter(|(_, gate)| **gate == Gate::Serving).map(|(&id, _)| id).collect();
    fast.reads_until.clear();
    for fragment in serving {
        if let Standing::Serving { until, .. } = machine.standing(fragment) {
            fast.reads_until.insert(fragment, until.map_or_else(|| Instant::now() + FOREVER, |until| began + until));
        }
    }
    let before = std::mem::take(&mut fast.moves);
    for view in machine.moves() {
        let since = before.get(&view.fragment).filter(|known| known.to == view.to).map_or_else(Instant::now, |known| known.since);
        let status = MoveStatus {
            id: view.id,
            fragment: view.fragment,
            to: view.to,
            phase: word(view.phase),
            bytes: (view.done, view.total),
            since,
            slowed_per_mille: view.slowed_per_mille,
            blocked: view.blocked.map(|why| why.to_string()),
        };
        fast.moves.insert(view.fragment, status);
    }
    fast.blocked = machine.blocked().into_iter().map(|(fragment, why)| (fragment, (why.code(), why.to_string()))).collect();
}

fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Queued => "queued",
        Phase::Preparing => "preparing",
        Phase::Copying => "copying",
        Phase::Sealing => "sealing",
        Phase::Verifying => "verifying",
        Phase::Committing => "committing",
        Phase::Aborting => "aborting",
    }
}
