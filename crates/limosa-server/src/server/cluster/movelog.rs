//! What moves and what moved: seen in the cells as they change, so that every node can tell of every move.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use limosa_core::{FragmentId, NodeName};
use limosa_manifest::FragmentCell;
use limosa_node::driver::cluster::{Cluster, MoveStatus};

use crate::http::api::{Move, MovePhase, MoveState, Slots, hex64};

/// Moves that ended and are still told of.
const ENDED_MAX: usize = 256;

#[derive(Default)]
struct Seen {
    /// By fragment: the move that its cell shows.
    running: BTreeMap<FragmentId, Move>,
    /// Newest first.
    ended: VecDeque<Move>,
    last_pause_ms: Option<f64>,
}

/// The log. Cloning gives another handle.
#[derive(Clone, Default)]
pub(super) struct MoveLog {
    seen: Arc<Mutex<Seen>>,
}

impl MoveLog {
    /// Looks at every change of the cells, until the returned task is dropped or the node is gone.
    pub(super) fn follow(&self, cluster: Cluster) -> tokio::task::JoinHandle<()> {
        let log = self.clone();
        tokio::spawn(async move {
            let mut changed = cluster.changed();
            loop {
                log.look(&cluster.cells(), &cluster.moves());
                if changed.changed().await.is_err() {
                    return;
                }
            }
        })
    }

    /// For how long requests waited in the last cutover of a fragment of this node.
    pub(super) fn last_pause_ms(&self) -> Option<f64> {
        self.seen().last_pause_ms
    }

    /// Running moves with what this node, as their source, knows of them; then those that ended, newest first.
    pub(super) fn moves(&self, cluster: &Cluster) -> Vec<Move> {
        let own = cluster.moves();
        self.look(&cluster.cells(), &own);
        let seen = self.seen();
        let mut moves: Vec<Move> = seen.running.values().cloned().collect();
        let cells = cluster.cells();
        // Those that wait for their turn are in no cell yet.
        let waiting = own.iter().filter(|status| !seen.running.contains_key(&status.fragment));
        moves.extend(waiting.filter_map(|status| Some(queued(cells.get(&status.fragment)?, cluster.me(), status))));
        moves.extend(seen.ended.iter().cloned());
        moves
    }

    fn look(&self, cells: &BTreeMap<FragmentId, FragmentCell>, own: &[MoveStatus]) {
        let mut seen = self.seen();
        let gone: Vec<FragmentId> =
            seen.running.iter().filter(|(id, known)| !still_runs(cells.get(id), known)).map(|(id, _)| *id).collect();
        for fragment in gone {
            let known = seen.running.remove(&fragment).expect("it was found there");
            let ended = end(known, cells.get(&fragment));
            seen.last_pause_ms = ended.pause_ms.or(seen.last_pause_ms);
            seen.ended.push_front(ended);
            seen.ended.truncate(ENDED_MAX);
        }
        for cell in cells.values() {
            if let (Some(running), Some(owner)) = (&cell.running, cell.owner()) {
                let known = seen.running.entry(cell.id()).or_insert_with(|| begun(cell, owner, running.id, &running.to));
                if let Some(status) = own.iter().find(|status| status.fragment == cell.id()) {
                    tell(known, status);
                }
            }
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn still_runs(cell: Option<&FragmentCell>, known: &Move) -> bool {
    cell.and_then(|cell| cell.running.as_ref()).is_some_and(|running| hex64(running.id) == known.id)
}

fn begun(cell: &FragmentCell, owner: &NodeName, id: u64, to: &NodeName) -> Move {
    Move {
        id: hex64(id),
        fragment: cell.fragment,
        slots: Slots::of(&cell.range),
        from: owner.to_string(),
        to: to.to_string(),
        phase: MovePhase::Prepared,
        state: MoveState::Running,
        bytes_done: 0,
        bytes_total: 0,
        rate_bytes_per_s: 0.0,
        eta_s: None,
        blocked_because: None,
        pause_ms: None,
    }
}

fn queued(cell: &FragmentCell, me: &NodeName, status: &MoveStatus) -> Move {
    let mut known = begun(cell, me, status.id, &status.to);
    tell(&mut known, status);
    known
}

/// What the source knows of it.
fn tell(known: &mut Move, status: &MoveStatus) {
    let (done, total) = status.bytes;
    let seconds = status.since.elapsed().as_secs_f64();
    known.phase = phase(status.phase);
    (known.bytes_done, known.bytes_total) = (done.min(total), total);
    known.rate_bytes_per_s = if seconds > 0.0 { known.bytes_done as f64 / seconds } else { 0.0 };
    known.eta_s = (known.rate_bytes_per_s > 0.0).then(|| (total - known.bytes_done) as f64 / known.rate_bytes_per_s);
    known.blocked_because.clone_from(&status.blocked);
}

/// The machine's words.
fn phase(word: &str) -> MovePhase {
    match word {
        "queued" => MovePhase::Queued,
        "copying" => MovePhase::Copying,
        "catching up" | "catching_up" => MovePhase::CatchingUp,
        "sealing" | "verifying" => MovePhase::Sealing,
        "committing" => MovePhase::Committing,
        _ => MovePhase::Prepared,
    }
}

fn end(mut known: Move, cell: Option<&FragmentCell>) -> Move {
    let owner = cell.and_then(FragmentCell::owner).map(ToString::to_string);
    known.eta_s = None;
    known.state = if owner.as_ref() == Some(&known.to) {
        known.bytes_done = known.bytes_total;
        MoveState::Committed
    } else {
        let why = match (&known.blocked_because, &owner) {
            (Some(why), _) => why.clone(),
            (None, Some(owner)) => format!("{owner} serves on: it was cancelled, failed (see the log of {}), or was too slow", known.from),
            (None, None) => "the fragment was fenced meanwhile".to_owned(),
        };
        MoveState::Aborted { why }
    };
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use limosa_core::KeyRange;
    use limosa_manifest::cell::{Holder, Move as Running};

    fn name(text: &str) -> NodeName {
        text.parse().expect("a good name")
    }

    fn cells(owner: &str, running: Option<(u64, &str)>) -> BTreeMap<FragmentId, FragmentCell> {
        let mut cell = FragmentCell::new("0", FragmentId(1), 1, KeyRange::ALL, name(owner));
        cell.holder = Holder::Serving(name(owner));
        cell.running = running.map(|(id, to)| Running { id, to: name(to), deadline_ms: 0 });
        BTreeMap::from([(FragmentId(1), cell)])
    }

    #[test]
    fn a_move_is_seen_from_its_cell_and_its_end_is_what_the_cell_says_then() {
        let log = MoveLog::default();
        log.look(&cells("a", Some((7, "b"))), &[]);
        assert_eq!(log.seen().running[&FragmentId(1)].id, hex64(7));
        log.look(&cells("b", None), &[]);
        log.look(&cells("b", Some((8, "c"))), &[]);
        log.look(&cells("b", None), &[]);
        log.look(&cells("b", Some((9, "a"))), &[]);
        log.look(&cells("b", Some((10, "a"))), &[]);
        let seen = log.seen();
        let states: Vec<bool> = seen.ended.iter().map(|ended| ended.state == MoveState::Committed).collect();
        assert_eq!(states, [false, false, true], "newest first: 9 was replaced, 8 aborted, 7 committed");
        assert_eq!(seen.running.len(), 1);
    }
}
