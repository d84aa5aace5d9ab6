//! How the board's view follows the manifest: lists, news, and the outcomes of this node's own changes, in whatever order they come.
//!
//! # Invariants
//! - A cell is only ever replaced by one of a newer revision.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard, PoisonError};

use limosa_core::{FragmentId, NodeName};
use limosa_manifest::{FragmentCell, Held, News};

use super::board::{Board, Changes, NodeFacts, View};
use crate::driver::manifest::apply_to_nodes;

impl Board {
    /// Everything there is at `revision`.
    pub(in super::super) fn listed(&self, cells: Vec<Held<FragmentCell>>, nodes: BTreeMap<NodeName, NodeFacts>, revision: u64) {
        let ids: BTreeSet<FragmentId> = cells.iter().map(|held| held.value.id()).collect();
        self.update(|view, changes| {
            changes.nodes |= view.nodes != nodes || !view.known;
            (view.nodes, view.known) = (nodes, true);
            view.revision = view.revision.max(revision);
            let gone = view.cells.iter().filter(|(id, held)| !ids.contains(id) && held.revision <= revision);
            let gone: Vec<FragmentId> = gone.map(|(&id, _)| id).collect();
            for id in gone {
                view.cells.remove(&id);
                changes.cells.insert(id);
            }
            for held in cells {
                learn(view, changes, held);
            }
        });
    }

    /// What a watch told.
    pub(in super::super) fn hear(&self, news: Vec<News>) {
        self.update(|view, changes| {
            for news in news {
                match news {
                    News::Cell(held) => learn(view, changes, *held),
                    News::CellGone(id) => {
                        view.cells.remove(&id);
                        changes.cells.insert(id);
                    }
                    of_nodes => {
                        apply_to_nodes(&mut view.nodes, &of_nodes);
                        changes.nodes = true;
                    }
                }
            }
        });
    }

    /// Cells that a change of this node made, or a read showed.
    pub(in super::super) fn learn(&self, cells: impl IntoIterator<Item = Held<FragmentCell>>) {
        self.update(|view, changes| cells.into_iter().for_each(|held| learn(view, changes, held)));
    }

    /// Cells that a split or merge of this node made, in the place of others.
    pub(in super::super) fn reframed(&self, gone: &[FragmentId], made: Vec<Held<FragmentCell>>) {
        self.update(|view, changes| {
            for id in gone {
                view.cells.remove(id);
                changes.cells.insert(*id);
            }
            made.into_iter().for_each(|held| learn(view, changes, held));
        });
    }

    /// `who` finds the manifest silent, or answering again.
    pub(in super::super) fn outage(&self, who: &'static str, why: Option<String>) {
        let mut changes = self.changes();
        let is_news = match why {
            Some(why) => changes.outages.insert(who, why).is_none(),
            None => changes.outages.remove(who).is_some(),
        };
        let now = changes.outages.values().next().cloned();
        drop(changes);
        if is_news {
            self.view.send_modify(|view| Arc::make_mut(view).outage = now);
            self.changed.notify_one();
        }
    }

    /// Whoever routes requests looks again: a gate, or who arrives, is another one now.
    pub(in super::super) fn touch(&self) {
        self.view.send_modify(|_| {});
    }

    /// What was learned since the last call.
    pub(in super::super) fn take_changes(&self) -> (BTreeSet<FragmentId>, bool) {
        let mut changes = self.changes();
        (std::mem::take(&mut changes.cells), std::mem::take(&mut changes.nodes))
    }

    fn update(&self, f: impl FnOnce(&mut View, &mut Changes)) {
        let mut changes = self.changes();
        self.view.send_modify(|view| f(Arc::make_mut(view), &mut changes));
        drop(changes);
        self.changed.notify_one();
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn learn(view: &mut View, changes: &mut Changes, held: Held<FragmentCell>) {
    let id = held.value.id();
    if view.cells.get(&id).is_some_and(|known| known.revision >= held.revision) {
        return;
    }
    view.revision = view.revision.max(held.revision);
    view.cells.insert(id, Arc::new(held));
    changes.cells.insert(id);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::cluster::{Addresses, ManifestAt, MemberOptions};
    use limosa_core::KeyRange;

    fn board() -> Board {
        let addresses = Addresses { peer: String::new(), resp: String::new(), http: String::new() };
        let options = MemberOptions::new(ManifestAt::Remote { address: String::new() }, addresses);
        Board::new("a".parse().expect("a name"), options, None)
    }

    fn held(id: u32, epoch: u32, revision: u64) -> Held<FragmentCell> {
        let new = FragmentCell::new("0", FragmentId(id), 1, KeyRange::ALL, "a".parse().expect("a name"));
        Held { value: FragmentCell { epoch, ..new }, revision }
    }

    fn epoch(board: &Board, id: u32) -> Option<u32> {
        board.view.borrow().cell(FragmentId(id)).map(|cell| cell.epoch)
    }

    #[test]
    fn the_newest_revision_wins_however_late_an_older_one_comes() {
        let board = board();
        board.learn([held(1, 5, 50)]);
        board.hear(vec![News::Cell(Box::new(held(1, 4, 40)))]);
        assert_eq!(epoch(&board, 1), Some(5));
        board.listed(vec![held(1, 4, 40), held(2, 1, 10)], BTreeMap::new(), 45);
        assert_eq!((epoch(&board, 1), epoch(&board, 2)), (Some(5), Some(1)));
        assert_eq!(board.take_changes(), ([1, 2].map(FragmentId).into(), true));
        assert_eq!(board.take_changes(), (BTreeSet::new(), false));
        // A list that is older than a cell does not take it away; a newer one does.
        board.learn([held(3, 1, 60)]);
        board.listed(vec![held(1, 5, 50)], BTreeMap::new(), 55);
        assert_eq!((epoch(&board, 2), epoch(&board, 3)), (None, Some(1)));
        board.listed(vec![held(1, 5, 50)], BTreeMap::new(), 60);
        assert_eq!(epoch(&board, 3), None);
    }

    #[test]
    fn an_outage_lasts_until_everybody_who_saw_it_sees_the_manifest_again() {
        let board = board();
        board.outage("watch", Some("silence".to_owned()));
        board.outage("lease", Some("silence".to_owned()));
        board.outage("watch", None);
        assert!(board.view.borrow().outage.is_some());
        board.outage("lease", None);
        assert!(board.view.borrow().outage.is_none());
    }
}
