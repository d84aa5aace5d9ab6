//! What moves and what moved: seen in the cells as they change, so that every node can tell of every move.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use limosa_core::{FragmentId, NodeName};
use limosa_manifest::FragmentCell;
use limosa_node::driver::cluster::{Cluster, MoveEnd, MoveStatus};

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
                log.look(&cluster.cells(), &cluster.moves(), &cluster.ended_moves());
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
        self.look(&cluster.cells(), &own, &cluster.ended_moves());
        let seen = self.seen();
        let mut moves: Vec<Move> = seen.running.values().cloned().collect();
        let cells = cluster.cells();
        // Those that wait for their turn are in no cell yet.
        let waiting = own.iter().filter(|status| !seen.running.contains_key(&status.fragment));
        moves.extend(waiting.filter_map(|status| Some(queued(cells.get(&status.fragment)?, cluster.me(), status))));
        moves.extend(seen.ended.iter().cloned());
        moves
    }

    fn look(&self, cells: &BTreeMap<FragmentId, FragmentCell>, own: &[MoveStatus], ends: &[MoveEnd]) {
        let mut seen = self.seen();
        let gone: Vec<FragmentId> =
            seen.running.iter().filter(|(id, known)| !still_runs(cells.get(id), known)).map(|(id, _)| *id).collect();
        for fragment in gone {
            let known = seen.running.remove(&fragment).expect("it was found there");
            seen.ended.push_front(end(known, cells.get(&fragment)));
            seen.ended.truncate(ENDED_MAX);
        }
        // This node learns how its own moves ended a moment behind the cell: told as soon as it is known.
        let Seen { ended, last_pause_ms, .. } = &mut *seen;
        for known in ended.iter_mut().filter(|known| known.pause_ms.is_none()) {
            if let Some(end) = ends.iter().rev().find(|end| hex64(end.id) == known.id) {
                tell_end(known, end);
                *last_pause_ms = known.pause_ms.or(*last_pause_ms);
            }
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
    known.phase = match phase(status.phase) {
        MovePhase::Copying if total > 0 && done >= total => MovePhase::CatchingUp,
        phase => phase,
    };
    (known.bytes_done, known.bytes_total) = (done.min(total), total);
    known.rate_bytes_per_s = if seconds > 0.0 { known.bytes_done as f64 / seconds } else { 0.0 };
    known.eta_s = (known.rate_bytes_per_s > 0.0).then(|| (total - known.bytes_done) as f64 / known.rate_bytes_per_s);
    known.blocked_because.clone_from(&status.blocked);
}

/// What the source knows of its end.
fn tell_end(known: &mut Move, end: &MoveEnd) {
    let total = end.bytes.1.max(known.bytes_total);
    let seconds = end.took.as_secs_f64();
    known.bytes_total = total;
    match &end.failure {
        None => {
            known.pause_ms = Some(end.parked.as_secs_f64() * 1000.0);
            known.bytes_done = total;
        }
        Some((code, why)) => {
            known.bytes_done = end.bytes.0.max(known.bytes_done).min(total);
            known.state = MoveState::Aborted { why: format!("{code}: {why}") };
        }
    }
    known.rate_bytes_per_s = if seconds > 0.0 { known.bytes_done as f64 / seconds } else { 0.0 };
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
        log.look(&cells("a", Some((7, "b"))), &[], &[]);
        assert_eq!(log.seen().running[&FragmentId(1)].id, hex64(7));
        log.look(&cells("b", None), &[], &[]);
        log.look(&cells("b", Some((8, "c"))), &[], &[]);
        log.look(&cells("b", None), &[], &[]);
        log.look(&cells("b", Some((9, "a"))), &[], &[]);
        log.look(&cells("b", Some((10, "a"))), &[], &[]);
        let seen = log.seen();
        let states: Vec<bool> = seen.ended.iter().map(|ended| ended.state == MoveState::Committed).collect();
        assert_eq!(states, [false, false, true], "newest first: 9 was replaced, 8 aborted, 7 committed");
        assert_eq!(seen.running.len(), 1);
    }

    #[test]
    fn the_source_tells_of_an_end_what_it_saw_although_the_cell_is_seen_first() {
        let log = MoveLog::default();
        log.look(&cells("a", Some((7, "b"))), &[], &[]);
        log.look(&cells("b", None), &[], &[]);
        assert_eq!(log.seen().ended[0].pause_ms, None);
        let ms = std::time::Duration::from_millis;
        let end = MoveEnd {
            id: 7,
            bytes: (900, 1000),
            took: ms(500),
            fragment: FragmentId(1),
            to: name("b"),
            parked: ms(3),
            failure: None,
            ended: std::time::SystemTime::now(),
        };
        log.look(&cells("b", None), &[], &[end]);
        let known = log.seen().ended[0].clone();
        assert_eq!((known.pause_ms, known.bytes_done, known.bytes_total), (Some(3.0), 1000, 1000));
        assert_eq!((known.rate_bytes_per_s, log.last_pause_ms()), (2000.0, Some(3.0)));
    }
}
