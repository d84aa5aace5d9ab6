//! The manifest: cells that change by compare-and-set, and what goes wrong on the way to it.

use std::collections::BTreeMap;

use limosa_core::{FragmentCell, FragmentId, KeyRange, NodeName};
use limosa_engine::ownership::{Change, Outcome, SeenCell};

/// The cells, and how the manifest is at the moment.
pub(super) struct Manifest {
    pub(super) cells: BTreeMap<FragmentId, SeenCell>,
    revision: u64,
    /// It does not answer before that, microseconds.
    pub(super) away_until_us: u64,
    /// Replies are lost until then, microseconds.
    pub(super) lossy_until_us: u64,
    /// Watchers hear late until then, microseconds.
    pub(super) stale_until_us: u64,
}

impl Manifest {
    pub(super) fn new(fragments: u32, nodes: &[NodeName]) -> Self {
        let cell = |id: u32| {
            let owner = nodes[id as usize % nodes.len()].clone();
            let cell = FragmentCell::new("s", FragmentId(id), u64::from(id) + 1, KeyRange::ALL, owner);
            (FragmentId(id), SeenCell { cell, revision: 1 })
        };
        Self { cells: (0..fragments).map(cell).collect(), revision: 1, away_until_us: 0, lossy_until_us: 0, stale_until_us: 0 }
    }

    /// Makes a change, if the cell is still the one that it replaces. What was there before it, when it was made.
    pub(super) fn change(&mut self, change: &Change) -> Result<(Outcome, Option<FragmentCell>), String> {
        let held = self.cells.get_mut(&change.fragment).expect("every fragment has a cell");
        if held.cell.carried_out(change.intent) {
            return Ok((Outcome::Made(Box::new(held.clone())), None)); // it came twice
        }
        if held.revision != change.revision {
            return Ok((Outcome::Lost(Some(Box::new(held.clone()))), None));
        }
        change.next.check_follows(&held.cell).map_err(|refusal| format!("{:?} of {}: {refusal}", change.wish, change.fragment))?;
        self.revision += 1;
        let next = SeenCell { cell: change.next.clone().marked(change.intent), revision: self.revision };
        let before = std::mem::replace(held, next);
        Ok((Outcome::Made(Box::new(held.clone())), Some(before.cell)))
    }
}
