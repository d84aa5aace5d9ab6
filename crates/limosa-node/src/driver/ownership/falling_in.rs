//! Fragments that others stand for, because they were split or merged: the store falls in with the cells before the machine hears of them.
//!
//! ```text
//!  cells with other names ──> sessions about the old ones end ──> the store parts, joins, names ──> the machine: Reframed, then the cells
//! ```
//! The same way at whoever asked for it, at its standbys, and behind a start: what a crash left half done is gone on with from the cells.
//!
//! # Invariants
//! - The machine is told of no cell whose fragment its store does not have, but for copies that can't be made fit: those are not believed.
//! - Nothing of an old fragment is applied any more when its store's frames change.

use std::collections::{BTreeMap, BTreeSet};

use limosa_core::{FragmentCell, FragmentFacts, FragmentId, KeyRange, NodeName, Version};
use limosa_engine::ownership::{Event, HeldFragment, Made};
use limosa_manifest::Held;
use limosa_store::{Framed, Seam, Store};

use super::changing::seen;
use super::driver::Driver;
use super::jobs::{Batch, Fallen};
use super::start;
use crate::driver::cluster::View;

/// The fragments that the machine knows.
pub(super) struct Frames {
    known: BTreeMap<FragmentId, KeyRange>,
    /// Of these the store has no copy that fits.
    unfit: BTreeSet<FragmentId>,
    /// The store is falling in.
    is_under_way: bool,
}

impl Frames {
    pub(super) fn of(store: &Store) -> Self {
        Self { known: ranges(&store.facts()), unfit: BTreeSet::new(), is_under_way: false }
    }

    pub(super) fn has(&self, fragment: FragmentId) -> bool {
        self.known.contains_key(&fragment)
    }

    pub(super) fn names(&self) -> BTreeSet<FragmentId> {
        self.known.keys().copied().collect()
    }

    /// What the store should have and does not; nothing when all is as it should be, or the view is not whole.
    fn wanted(&self, view: &View, me: &NodeName) -> Option<Vec<Framed>> {
        let cells = newest(view)?;
        let is_misfit = |cell: &&FragmentCell| !self.has(cell.id()) || self.unfit.contains(&cell.id()) && !is_needed(cell, me);
        (cells.len() != self.known.len() || cells.iter().any(is_misfit)).then(|| cells.into_iter().map(|cell| framed(cell, me)).collect())
    }
}

impl Driver {
    /// Makes the store fall in with the cells, if it does not. The machine is told when that is done.
    pub(super) fn fall_in(&mut self, view: &View) {
        if self.frames.is_under_way {
            return; // looked at again behind it
        }
        let Some(frames) = self.frames.wanted(view, &self.board.me) else { return };
        self.frames.is_under_way = true;
        let gone: Vec<FragmentId> = self.frames.known.keys().filter(|id| !frames.iter().any(|frame| frame.id == **id)).copied().collect();
        tracing::info!(?gone, "fragments were split or merged: the store falls in");
        self.following.end_about(&gone);
        self.work_on(vec![Batch::FallIn(frames)]);
    }

    /// The store has the fragments of the cells.
    pub(super) fn fallen_in(&mut self, fallen: Fallen) {
        self.frames.is_under_way = false;
        let wanted: BTreeMap<FragmentId, KeyRange> = fallen.frames.into_iter().map(|frame| (frame.id, frame.range)).collect();
        let unfit: BTreeSet<FragmentId> = fallen.unfit.into_iter().collect();
        let is_new = |id: &FragmentId| !self.frames.has(*id) || self.frames.unfit.contains(id) && !unfit.contains(id);
        let gone: Vec<FragmentId> = self.frames.known.keys().filter(|id| !wanted.contains_key(*id) || is_new(id)).copied().collect();
        let made: Vec<FragmentId> = wanted.keys().filter(|id| is_new(id)).copied().collect();
        let parents = |range: &KeyRange| {
            let touches = |(_, parent): &(&FragmentId, &KeyRange)| parent.intersect(range).is_some();
            self.frames.known.iter().filter(touches).map(|(id, _)| *id).filter(|id| gone.contains(id)).collect()
        };
        let held = |id: &FragmentId| HeldFragment { fragment: *id, version: Version::ZERO, epoch: 0, fence: 0 };
        let one = |id: &FragmentId| Made {
            held: fallen.held.iter().find(|held| held.fragment == *id).copied().unwrap_or_else(|| held(id)),
            from: parents(&wanted[id]),
            is_lost: unfit.contains(id),
        };
        let made_of: Vec<Made> = made.iter().map(one).collect();
        (self.frames.known, self.frames.unfit) = (wanted, unfit);
        made_of.iter().for_each(|made| self.shared.durable.note(made.held.fragment, made.held.version));
        self.digests.retain(|id, _| !gone.contains(id));
        self.sessions.forget(&gone);
        self.handle(Event::Reframed { gone, made: made_of });
        let view = self.board.view.borrow().clone();
        self.handle(Event::Cells(made.iter().filter_map(|id| view.cells.get(id)).map(|held| seen(held)).collect()));
        self.fall_in(&view);
    }
}

/// Carries it out, on the job thread.
pub(super) fn carry_out(store: &Store, frames: &[Framed]) -> Result<Fallen, limosa_store::StoreError> {
    let unfit = store.align(frames).map_err(|error| match error {
        limosa_store::ReframeError::Store(error) => error,
        other => limosa_store::StoreError::Invalid { what: "the manifest's fragments", why: other.to_string() },
    })?;
    store.sync()?; // what the machine is told of its copies survives a power cut, whatever the durability
    Ok(Fallen { frames: frames.to_vec(), unfit, held: start::held(store) })
}

/// The cells in key order, where they cover every key once. Of two that overlap the newer one stands: the view may know of it before it knows
/// that the other one went.
fn newest(view: &View) -> Option<Vec<&FragmentCell>> {
    let mut cells: Vec<&Held<FragmentCell>> = view.cells.values().map(|held| &**held).collect();
    cells.sort_by(|one, other| one.value.range.start.cmp(&other.value.range.start));
    let is_covered = |held: &Held<FragmentCell>| {
        cells.iter().any(|other| other.revision > held.revision && other.value.range.intersect(&held.value.range).is_some())
    };
    let overlaps = cells.windows(2).any(|pair| pair[0].value.range.intersect(&pair[1].value.range).is_some());
    let stand: Vec<&FragmentCell> = cells.iter().filter(|held| !overlaps || !is_covered(held)).map(|held| &held.value).collect();
    let is_whole = stand.first().is_some_and(|first| first.range.start.is_empty())
        && stand.windows(2).all(|pair| pair[0].range.end.as_ref() == Some(&pair[1].range.start))
        && stand.last().is_some_and(|last| last.range.end.is_none());
    is_whole.then_some(stand)
}

fn is_needed(cell: &FragmentCell, me: &NodeName) -> bool {
    cell.holder.last_served() == me || cell.sync_set.contains(me)
}

fn framed(cell: &FragmentCell, me: &NodeName) -> Framed {
    let seam = cell.joined.as_ref().map(|joined| Seam {
        at: joined.seam.clone(),
        left: joined.left,
        right: joined.right,
        epoch: joined.epoch,
        opener: cell.lineage,
    });
    Framed { id: cell.id(), range: cell.range.clone(), seam, is_needed: is_needed(cell, me) }
}

fn ranges(facts: &[FragmentFacts]) -> BTreeMap<FragmentId, KeyRange> {
    facts.iter().map(|facts| (facts.id, facts.range.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::sync::Arc;

    fn view(cells: &[(u32, &'static str, Option<&'static str>, u64)]) -> View {
        let held = |(id, start, end, revision): &(u32, &'static str, Option<&'static str>, u64)| {
            let range = KeyRange::new(*start, end.map(|end| Bytes::from_static(end.as_bytes())));
            let value = FragmentCell::new("0", FragmentId(*id), 1, range, "a".parse().expect("a name"));
            (FragmentId(*id), Arc::new(Held { value, revision: *revision }))
        };
        View { cells: cells.iter().map(held).collect(), ..View::default() }
    }

    fn ids(view: &View) -> Option<Vec<u32>> {
        newest(view).map(|cells| cells.into_iter().map(|cell| cell.fragment).collect())
    }

    #[test]
    fn of_cells_that_overlap_the_newer_ones_stand_and_a_view_with_a_gap_says_nothing_yet() {
        assert_eq!(ids(&view(&[(1, "", Some("m"), 5), (2, "m", None, 6)])), Some(vec![1, 2]));
        assert_eq!(ids(&view(&[(1, "", Some("m"), 5), (2, "m", None, 6), (3, "m", Some("q"), 9), (4, "q", None, 9)])), Some(vec![1, 3, 4]));
        assert_eq!(ids(&view(&[(1, "", Some("m"), 5), (2, "m", None, 6), (3, "m", Some("q"), 9)])), None, "its neighbour is not known yet");
        assert_eq!(ids(&view(&[(1, "", Some("m"), 5)])), None);
        assert_eq!(ids(&view(&[])), None);
    }
}
