//! Splits and merges: the owner parks the fragments, sees that every member has all of them on its disk, and replaces their cells in one change.
//!
//! ```text
//!  order ──> parked, sealed ──> every member holds the seal ──> CAS over the cells ──> stores part or join ──> new fragments, as after a start
//!     <──────── released ────────────┴── too long ──┘   └─ lost: released   └─ unknown: parked, sent again until it is known
//! ```
//! For every node the new fragments begin as behind a restart, at an epoch that nobody used: whatever was on its way for the old ones loses.
//! Their owner keeps what it was lent, because whoever lent it outlives that lease under the new names ([`Seat::began_at`]).
//!
//! # Invariants
//! - Nothing is given or read in the old fragments behind the seal: the cells that replace them name it, and every member holds it.
//! - Once the change was sent nothing is served of them before its outcome is certain.
//!
//! # Not here
//! - What the stores do: the driver, between [`Event::ReframeAnswered`](super::Event) and [`Event::Reframed`](super::Event).

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use limosa_core::cell::Refusal;
use limosa_core::{FragmentCell, FragmentId, NodeName, Version};

use super::action::{Action, Gate, Job, Reframe};
use super::config::Plant;
use super::event::{Made, Order, Reframing, Session};
use super::machine::Ownership;
use super::report::{ReframeError, Report};
use super::seat::Seat;
use super::shared::Shared;

/// First and longest pause before a change in doubt is sent again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Beats to members that have not heard of a new fragment yet, within one lease.
const COURTING: u32 = 60;

/// A fragment that is held back for a split or merge.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    since: Duration,
    /// The cell's revision then.
    revision: u64,
    is_asked: bool,
    sealed: Option<Version>,
    /// When the change is sent again.
    again_at: Option<Duration>,
}

/// What a fragment brings along from those that it came out of.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    /// Lineage and epoch that this very machine asked for: an epoch that nobody used.
    own: Option<(u64, u32)>,
    pub(super) lent: BTreeMap<NodeName, (Duration, u32)>,
    /// The cells meant this folder's copies of them.
    pub(super) is_believed: bool,
    pub(super) is_lost: bool,
    /// When members were last told of it out of turn.
    courted_at: Duration,
}

impl Origin {
    /// Whether this machine asked for the cell as it is.
    pub(super) fn is_of(&self, cell: &FragmentCell) -> bool {
        self.own == Some((cell.lineage, cell.epoch))
    }
}

/// A split or merge under way.
#[derive(Clone, Debug)]
pub(super) struct Under {
    parents: Vec<FragmentId>,
    what: What,
    asked: Option<Asked>,
}

#[derive(Clone, Debug)]
enum What {
    Split { at: Bytes, left: (FragmentId, u64), right: (FragmentId, u64) },
    Merge { made: (FragmentId, u64) },
}

#[derive(Clone, Debug)]
struct Asked {
    reframe: Reframe,
    /// Its answer is awaited, or it was made.
    is_waiting: bool,
    /// It may have been made, or be made yet.
    is_in_doubt: bool,
    failures: u32,
}

/// How a split or merge stands after a look at it.
enum Stand {
    GoesOn,
    Ends(ReframeError),
}

impl Ownership {
    pub(super) fn order_reframe(&mut self, order: Order) {
        let (parents, what) = match order {
            Order::Split { fragment, at, left, right } => (vec![fragment], What::Split { at, left, right }),
            Order::Merge { left, right, made } => (vec![left, right], What::Merge { made }),
            other => unreachable!("{other:?} is no split or merge"),
        };
        let first = parents[0];
        let under = Under { parents, what, asked: None };
        if let Err(error) = self.may_reframe(&under) {
            return self.shared.report(Report::ReframeFailed { fragment: first, error });
        }
        for fragment in &under.parents {
            let seat = self.seats.get_mut(fragment).expect("it was looked at");
            let revision = seat.cell.as_ref().map_or(0, |seen| seen.revision);
            seat.hold = Some(Hold { since: self.shared.now, revision, is_asked: false, sealed: None, again_at: None });
            self.shared.dirty.insert(*fragment);
        }
        self.reframing.insert(first, under);
    }

    fn may_reframe(&self, under: &Under) -> Result<(), ReframeError> {
        let is_served = |fragment: &&FragmentId| self.seats.get(*fragment).is_some_and(Seat::serves);
        if let Some(fragment) = under.parents.iter().find(|fragment| !is_served(fragment)) {
            return Err(ReframeError::NotOwner { fragment: *fragment });
        }
        under.parents.iter().try_for_each(|fragment| self.seats[fragment].may_reframe())?;
        // With what is known to be committed in the place of the seal: the rest of the rules do not depend on it.
        let known = |fragment: &FragmentId| self.seats[fragment].cell.as_ref().map_or(Version::ZERO, |seen| seen.cell.committed);
        let made = self.cells_made(under, &under.parents.iter().map(known).collect::<Vec<_>>())?;
        let is_taken = |cell: &FragmentCell| self.seats.get(&cell.id()).is_some_and(|seat| seat.cell.is_some());
        match made.iter().find(|cell| is_taken(cell)) {
            Some(cell) => Err(Refusal::Ranges { fragment: cell.id(), why: "such a fragment is there already" }.into()),
            None => Ok(()),
        }
    }

    fn cells_made(&self, under: &Under, sealed: &[Version]) -> Result<Vec<FragmentCell>, Refusal> {
        let cell = |at: usize| &self.seats[&under.parents[at]].cell.as_ref().expect("an owner knows its cell").cell;
        match &under.what {
            What::Split { at, left, right } => {
                let (left, right) = cell(0).split(at, *left, *right, sealed[0])?;
                Ok(vec![left, right])
            }
            What::Merge { made } => cell(0).merge(cell(1), *made, (sealed[0], sealed[1])).map(|whole| vec![whole]),
        }
    }

    /// Looks at every split and merge. True: fragments were released, and are to be looked at.
    pub(super) fn settle_reframing(&mut self) -> bool {
        let before = self.shared.dirty.len();
        for first in self.reframing.keys().copied().collect::<Vec<_>>() {
            let mut under = self.reframing.remove(&first).expect("it is there");
            match self.look_at(&mut under) {
                Stand::GoesOn => drop(self.reframing.insert(first, under)),
                Stand::Ends(error) => self.release(&under, error),
            }
        }
        self.shared.dirty.len() > before
    }

    fn release(&mut self, under: &Under, error: ReframeError) {
        for fragment in &under.parents {
            if let Some(seat) = self.seats.get_mut(fragment) {
                seat.hold = None;
                self.shared.dirty.insert(*fragment);
            }
        }
        self.shared.report(Report::ReframeFailed { fragment: under.parents[0], error });
    }

    fn look_at(&mut self, under: &mut Under) -> Stand {
        for fragment in &under.parents {
            let held = self.seats.get(fragment).and_then(|seat| Some((seat, seat.hold.as_ref()?)));
            // A cell of another revision is one that the change can't replace any more: it was not made, and will not be.
            let is_as_it_was = held.is_some_and(|(seat, hold)| seat.cell.as_ref().is_some_and(|seen| seen.revision == hold.revision));
            if !is_as_it_was {
                return Stand::Ends(ReframeError::Superseded { fragment: *fragment });
            }
        }
        match &mut under.asked {
            None => self.ask_when_sealed(under),
            Some(asked) if !asked.is_waiting && self.is_due(&under.parents[0]) => {
                asked.is_waiting = true;
                self.shared.push(Action::Reframe(Box::new(asked.reframe.clone())));
                Stand::GoesOn
            }
            Some(_) => Stand::GoesOn,
        }
    }

    fn is_due(&self, first: &FragmentId) -> bool {
        let again_at = self.seats[first].hold.as_ref().and_then(|hold| hold.again_at);
        again_at.is_none_or(|at| self.shared.now >= at)
    }

    fn ask_when_sealed(&mut self, under: &mut Under) -> Stand {
        let limit = self.shared.config.lease;
        let mut sealed = Vec::new();
        for fragment in &under.parents {
            let seat = &self.seats[fragment];
            let hold = seat.hold.as_ref().expect("it was looked at");
            let missing = seat.without_the_seal(hold);
            if let (Some(version), true) = (hold.sealed, missing.is_empty()) {
                sealed.push(version);
            } else if self.shared.now >= hold.since + limit {
                return Stand::Ends(ReframeError::Members { fragment: *fragment, missing });
            }
        }
        if sealed.len() < under.parents.len() {
            return Stand::GoesOn;
        }
        let made = match self.cells_made(under, &sealed) {
            Ok(made) => made,
            Err(refusal) => return Stand::Ends(refusal.into()),
        };
        let gone = under.parents.iter().map(|id| (*id, self.seats[id].hold.as_ref().map_or(0, |hold| hold.revision))).collect();
        let reframe = Reframe { gone, made };
        self.shared.push(Action::Reframe(Box::new(reframe.clone())));
        under.asked = Some(Asked { reframe, is_waiting: true, is_in_doubt: false, failures: 0 });
        Stand::GoesOn
    }

    pub(super) fn reframe_answered(&mut self, first: FragmentId, outcome: Reframing) {
        let Some(mut under) = self.reframing.remove(&first) else { return };
        let Some(asked) = under.asked.as_mut() else {
            self.reframing.insert(first, under);
            return;
        };
        let error = match outcome {
            Reframing::Made => None,
            Reframing::Lost => Some(ReframeError::Superseded { fragment: first }),
            Reframing::Unavailable if !asked.is_in_doubt => Some(ReframeError::ManifestAway),
            Reframing::Unknown if self.shared.config.has(Plant::ServesInDoubt) => Some(ReframeError::ManifestAway),
            Reframing::Unknown | Reframing::Unavailable => {
                (asked.is_waiting, asked.is_in_doubt) = (false, true);
                let pause = PAUSES.0.saturating_mul(1 << asked.failures.min(8)).min(PAUSES.1);
                asked.failures += 1;
                if let Some(hold) = self.seats.get_mut(&first).and_then(|seat| seat.hold.as_mut()) {
                    hold.again_at = Some(self.shared.now + pause);
                }
                self.shared.dirty.insert(first);
                None
            }
        };
        match error {
            Some(error) => {
                self.release(&under, error);
            }
            None => drop(self.reframing.insert(first, under)),
        }
    }

    /// Takes the new fragments in, each as behind a start.
    pub(super) fn reframed(&mut self, gone: &[FragmentId], made: Vec<Made>) {
        let own: Vec<Reframe> = gone
            .iter()
            .filter_map(|first| self.reframing.remove(first))
            .filter_map(|under| under.asked)
            .map(|asked| asked.reframe)
            .collect();
        for reframe in own.iter().filter(|reframe| reframe.made.iter().any(|cell| made.iter().any(|made| made.held.fragment == cell.id())))
        {
            self.shared.report(Report::Reframed { gone: reframe.gone.iter().map(|(id, _)| *id).collect() });
        }
        let own: Vec<FragmentCell> = own.into_iter().flat_map(|reframe| reframe.made).collect();
        let mut before: BTreeMap<FragmentId, Seat> = BTreeMap::new();
        for fragment in gone {
            self.shared.copying.remove(fragment);
            self.shared.cutting.remove(fragment);
            if let Some(mut seat) = self.seats.remove(fragment) {
                seat.unfollow(&mut self.shared);
                seat.set_gate(&mut self.shared, Gate::Closed);
                before.insert(*fragment, seat);
            }
        }
        for one in made {
            let fragment = one.held.fragment;
            let from: Vec<&Seat> = one.from.iter().filter_map(|id| before.get(id)).collect();
            let asked = own.iter().find(|cell| cell.id() == fragment);
            let origin = Origin {
                own: asked.map(|cell| (cell.lineage, cell.epoch)),
                lent: if asked.is_some() { lent_by_all(&from) } else { BTreeMap::new() },
                is_believed: !from.is_empty() && from.iter().all(|seat| seat.cell.is_some() && !seat.is_unbelieved),
                is_lost: one.is_lost,
                courted_at: Duration::ZERO,
            };
            let mut seat = Seat { origin, ..Seat::of(&one.held, &self.shared) };
            seat.losses = from.iter().flat_map(|seat| seat.losses.iter().copied()).collect();
            seat.losses.sort_unstable();
            self.seats.insert(fragment, seat);
            self.shared.dirty.insert(fragment);
        }
    }
}

/// What every one of them was lent, as long as the shortest.
fn lent_by_all(from: &[&Seat]) -> BTreeMap<NodeName, (Duration, u32)> {
    let mut lents = from.iter().map(|seat| seat.owning.as_ref().map(|owning| owning.lent.clone()).unwrap_or_default());
    let first = lents.next().unwrap_or_default();
    lents.fold(first, |all, one| {
        let both = |(node, at): (NodeName, (Duration, u32))| one.get(&node).map(|other| (node, at.min(*other)));
        all.into_iter().filter_map(both).collect()
    })
}

impl Seat {
    fn serves(&self) -> bool {
        self.cell.is_some() && self.owning.is_some() && self.gate == Gate::Serving
    }

    /// Whether a fragment that is served may be split or merged.
    fn may_reframe(&self) -> Result<(), ReframeError> {
        let fragment = self.id;
        let cell = &self.cell.as_ref().expect("it is served").cell;
        if self.moving.is_some() || cell.running.is_some() {
            return Err(ReframeError::Moving { fragment });
        }
        if self.hold.is_some() || self.changing.is_open() || self.open_epoch() != Some(cell.epoch) {
            return Err(ReframeError::Busy { fragment });
        }
        let missing: Vec<NodeName> = cell.sync_set.iter().filter(|node| !self.is_live(node)).cloned().collect();
        if !missing.is_empty() {
            return Err(ReframeError::Members { fragment, missing });
        }
        let is_coming = |node: &&NodeName| self.followers.get(*node).is_some_and(|one| matches!(one.session, Session::Transferring { .. }));
        match cell.replicas.iter().find(is_coming) {
            Some(to) => Err(ReframeError::Copying { fragment, to: to.clone() }),
            None => Ok(()),
        }
    }

    /// Asks the store what the fragment is sealed at, once it is parked.
    pub(super) fn settle_hold(&mut self, s: &mut Shared) {
        let is_parked = self.gate == Gate::Parked;
        let Some(hold) = &mut self.hold else { return };
        s.is_past(hold.since, s.config.lease);
        if let Some(at) = hold.again_at {
            s.wake_at(at);
        }
        if is_parked && !hold.is_asked {
            hold.is_asked = true;
            self.job(s, Job::Digest { fragment: self.id, at: Version::ZERO });
        }
    }

    /// The store's answer: nothing is given behind it while the fragment is held.
    pub(super) fn hold_sealed(&mut self, version: Version) {
        if let Some(hold) = self.hold.as_mut().filter(|hold| hold.is_asked) {
            hold.sealed = Some(version);
        }
    }

    /// Members that do not have all of it, as far as is known.
    fn without_the_seal(&self, hold: &Hold) -> Vec<NodeName> {
        let Some(cell) = self.cell.as_ref().map(|seen| &seen.cell) else { return Vec::new() };
        let holding = hold.sealed.map(|version| self.holding(&cell.sync_set, version)).unwrap_or_default();
        cell.sync_set.iter().filter(|node| !(holding.contains(*node) && self.is_live(node))).cloned().collect()
    }

    /// Beats soon again for members that did not know the new fragment yet: what they lent under the old name runs out.
    pub(super) fn court(&mut self, s: &mut Shared) {
        let (Some(open), true) = (self.open_epoch(), self.origin.own.is_some()) else { return };
        let is_over = s.now >= self.began_at + s.config.lease;
        let (Some(owning), Some(seen)) = (&self.owning, &self.cell) else { return };
        let is_heard = |node: &NodeName| owning.lent.get(node).is_some_and(|(_, epoch)| *epoch == open);
        if is_over || seen.cell.sync_set.iter().all(is_heard) {
            self.origin.own = None;
        } else if s.is_past(self.origin.courted_at, s.config.lease / COURTING) {
            self.origin.courted_at = s.now;
            s.wake_at(s.now + s.config.lease / COURTING);
            self.beat(s);
        }
    }
}
