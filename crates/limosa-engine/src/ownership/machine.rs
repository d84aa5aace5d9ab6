//! The machine: events become facts of fragments, then each fragment concerned is looked at once.

use std::collections::BTreeMap;
use std::time::Duration;

use limosa_core::cell::Holder;
use limosa_core::{FragmentId, NodeName};
use limosa_wire::OwnershipMessage;

use super::action::{Action, Gate};
use super::config::{Config, HeldFragment};
use super::event::Event;
use super::owning::Lease;
use super::reframing::Under;
use super::report::{Blocked, MoveView, Standing};
use super::seat::Seat;
use super::shared::Shared;

/// The ownership machine of a node.
///
/// - **In**: [`Ownership::handle`], with the time.
/// - **Out**: [`Ownership::poll`] until there is nothing left; [`Ownership::next_deadline`]: when to come again with [`Event::Tick`].
/// - **Asked**: [`Ownership::standing`], [`Ownership::moves`], [`Ownership::blocked`], [`Ownership::is_believed`].
#[derive(Clone, Debug)]
pub struct Ownership {
    pub(super) seats: BTreeMap<FragmentId, Seat>,
    pub(super) shared: Shared,
    /// Splits and merges under way, by the first of their fragments.
    pub(super) reframing: BTreeMap<FragmentId, Under>,
    next_beat: Duration,
}

impl Ownership {
    /// The machine of a node that holds `held`, all gates closed. It does nothing before it has seen cells: first a list of them, read
    /// after the start.
    pub fn new(now: Duration, config: Config, held: &[HeldFragment]) -> Self {
        let next_beat = now + config.beat();
        let shared = Shared::new(config, now);
        let seats = held.iter().map(|held| (held.fragment, Seat::of(held, &shared))).collect();
        Self { seats, shared, reframing: BTreeMap::new(), next_beat }
    }

    /// Takes an event in at `now`, which never goes back.
    pub fn handle(&mut self, now: Duration, event: Event) {
        assert!(now >= self.shared.now, "time goes back from {:?} to {now:?}", self.shared.now);
        self.shared.now = now;
        self.take(event);
        if now >= self.next_beat {
            self.next_beat = now + self.shared.config.beat();
            self.seats.values().for_each(|seat| seat.beat(&mut self.shared));
        }
        self.shared.ring();
        self.settle();
        if self.settle_reframing() {
            self.settle();
        }
        self.shared.post();
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Action> {
        self.shared.poll()
    }

    /// When to come again at the latest.
    pub fn next_deadline(&self) -> Duration {
        self.shared.next_alarm().map_or(self.next_beat, |alarm| alarm.min(self.next_beat))
    }

    /// What this node does with requests for a fragment.
    pub fn standing(&self, fragment: FragmentId) -> Standing {
        let Some(seat) = self.seats.get(&fragment) else { return Standing::Nobody { epoch: 0 } };
        let Some(seen) = &seat.cell else { return Standing::Nobody { epoch: 0 } };
        let (cell, me) = (&seen.cell, &self.shared.config.node);
        match &cell.holder {
            Holder::Serving(owner) if owner == me => match (seat.gate, seat.open_epoch()) {
                (Gate::Serving, Some(epoch)) => match seat.lease(&self.shared) {
                    Lease::Until(end) => Standing::Serving { epoch, until: Some(end) },
                    _ => Standing::Serving { epoch, until: None },
                },
                (Gate::Closed, _) => Standing::Nobody { epoch: cell.epoch },
                _ => Standing::Parked,
            },
            Holder::Serving(_) if cell.running.as_ref().is_some_and(|running| running.to == *me) => Standing::Parked,
            Holder::Serving(owner) => Standing::Elsewhere { owner: owner.clone(), epoch: cell.epoch },
            Holder::Fenced { .. } => Standing::Nobody { epoch: cell.epoch },
        }
    }

    /// Moves of this node's fragments, those that wait included.
    pub fn moves(&self) -> Vec<MoveView> {
        self.seats.values().filter_map(|seat| seat.moving.as_ref().map(|moving| moving.view(seat.id))).collect()
    }

    /// Fragments that this node would serve or take over, and what keeps it from that.
    pub fn blocked(&self) -> Vec<(FragmentId, Blocked)> {
        self.seats.values().filter_map(|seat| seat.blocked.clone().map(|why| (seat.id, why))).collect()
    }

    /// Whether the cells mean this data folder: under [`Config::reborn`], once none of them says anything of the former one. Then, and
    /// not before, the manifest may learn the new incarnation.
    pub fn is_believed(&self) -> bool {
        !self.shared.config.reborn || self.seats.values().all(|seat| seat.cell.is_some() && !seat.is_unbelieved)
    }

    /// The epoch at which this node writes a fragment, and the gate: for asserts of a driver or a simulated world.
    pub fn writes(&self, fragment: FragmentId) -> Option<(u32, Gate)> {
        let seat = self.seats.get(&fragment)?;
        Some((seat.open_epoch()?, seat.gate))
    }

    fn settle(&mut self) {
        // A fragment may give another one its turn: each is looked at until nothing is left, which ends because turns are given only when
        // a move ends.
        while let Some(fragment) = self.shared.dirty.pop_first() {
            let copying = self.shared.copying.len();
            let Some(seat) = self.seats.get_mut(&fragment) else { continue };
            self.shared.begin();
            seat.settle(&mut self.shared);
            self.shared.end(fragment);
            if self.shared.copying.len() < copying {
                let waiting = self.seats.values().filter(|seat| seat.moving.is_some()).map(|seat| seat.id);
                self.shared.dirty.extend(waiting);
            }
        }
    }

    fn seat(&mut self, fragment: FragmentId) -> (&mut Seat, &mut Shared) {
        self.shared.dirty.insert(fragment);
        let seat = self.seats.entry(fragment).or_insert_with(|| Seat::new(fragment, &self.shared));
        (seat, &mut self.shared)
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Tick => {}
            Event::Cells(cells) => {
                for seen in cells {
                    let (seat, s) = self.seat(seen.cell.id());
                    seat.absorb(s, seen);
                }
            }
            Event::Gone { fragment, revision } => {
                let (seat, _) = self.seat(fragment);
                if seat.cell.as_ref().is_some_and(|seen| seen.revision < revision) {
                    seat.cell = None;
                }
            }
            Event::Changed { fragment, intent, outcome } => {
                let (seat, s) = self.seat(fragment);
                seat.changed(s, intent, outcome);
            }
            Event::ReframeAnswered { first, outcome } => self.reframe_answered(first, outcome),
            Event::Reframed { gone, made } => self.reframed(&gone, made),
            Event::Message { from, message } => self.message(&from, message),
            Event::Peer { node, is_connected } => self.peer(&node, is_connected),
            Event::Session { from, fragment, session, held } => self.seat(fragment).0.session(&from, session, held),
            Event::Follower { node, fragment, session, held } => {
                let (seat, s) = self.seat(fragment);
                seat.note_follower(s, &node, session, held);
            }
            Event::Nodes(nodes) => {
                self.shared.nodes = nodes.into_iter().map(|state| (state.name.clone(), state)).collect();
                self.shared.dirty.extend(self.seats.keys());
            }
            Event::Clock { unix_ms } => self.shared.set_clock(unix_ms),
            Event::Load { fragment, write_bytes_per_s } => self.seat(fragment).0.write_bytes_per_s = write_bytes_per_s,
            Event::Order(order) => self.order(order),
            store => self.stored(store),
        }
    }

    /// What the store answered.
    fn stored(&mut self, event: Event) {
        match event {
            Event::Digest { fragment, version, state } => {
                let (seat, s) = self.seat(fragment);
                seat.digest(s, version, state);
            }
            Event::EpochOpened { fragment, epoch, base } => {
                let (seat, s) = self.seat(fragment);
                seat.epoch_opened(s, epoch, base);
            }
            Event::EpochRefused { fragment, held } => self.seat(fragment).0.epoch_refused(held),
            Event::FencePersisted { fragment, epoch, held } => self.seat(fragment).0.fence_persisted(epoch, held),
            Event::Dropped { fragment } => self.seat(fragment).0.dropped(),
            Event::Counted { fragment, head } => {
                let (seat, _) = self.seat(fragment);
                seat.held = seat.held.max(head);
                if let Some(owning) = &mut seat.owning {
                    owning.counted = Some(head);
                }
            }
            other => unreachable!("{other:?} is no answer of the store"),
        }
    }

    fn peer(&mut self, node: &NodeName, is_connected: bool) {
        if !is_connected {
            self.shared.connected.remove(node);
            return;
        }
        self.shared.connected.insert(node.clone());
        for seat in self.seats.values() {
            seat.beat(&mut self.shared);
        }
    }

    fn message(&mut self, from: &NodeName, message: OwnershipMessage) {
        match message {
            OwnershipMessage::Renew { beat, fragments } => {
                let mut refused = Vec::new();
                let mut is_known = true;
                for renewal in fragments {
                    let (seat, s) = self.seat(renewal.fragment);
                    match seat.judge(s, from, renewal) {
                        Ok(None) => {}
                        Ok(Some(epoch)) => refused.push((renewal.fragment, epoch)),
                        Err(()) => is_known = false,
                    }
                }
                if is_known {
                    self.shared.send(from, OwnershipMessage::Renewed { beat, refused });
                }
            }
            OwnershipMessage::Renewed { beat, refused } => self.renewed(from, beat, &refused),
            OwnershipMessage::Seal(at) => self.with(at.fragment, |seat, s| seat.told_seal(s, from, at)),
            OwnershipMessage::Ready(at) => self.with(at.fragment, |seat, s| seat.ready(s, from, at)),
            OwnershipMessage::NotReady { move_id, fragment, why } => {
                self.with(fragment, |seat, s| seat.not_ready(s, from, move_id, why));
            }
            OwnershipMessage::Committed { fragment, epoch, .. } => self.with(fragment, |seat, s| {
                if seat.epoch() < epoch {
                    s.push(Action::ReadCell(fragment));
                }
            }),
            OwnershipMessage::Unsealed { move_id, fragment } => self.with(fragment, |seat, _| seat.told_unsealed(move_id)),
            OwnershipMessage::Fence { fragment, epoch } => self.with(fragment, |seat, s| seat.fence_called(s, from, epoch)),
            OwnershipMessage::Fenced { fragment, epoch, installed, acknowledged } => {
                self.with(fragment, |seat, s| seat.fenced_by(s, from, epoch, installed, acknowledged));
            }
            OwnershipMessage::Doubt { fragments } => {
                for (fragment, epoch) in fragments {
                    self.with(fragment, |seat, s| seat.doubted_by(s, from, epoch));
                }
            }
            OwnershipMessage::Doubted { fragments } => {
                for (fragment, epoch) in fragments {
                    self.with(fragment, |seat, _| seat.agreed_by(from, epoch));
                }
            }
        }
    }

    fn with(&mut self, fragment: FragmentId, act: impl FnOnce(&mut Seat, &mut Shared)) {
        let (seat, s) = self.seat(fragment);
        act(seat, s);
    }

    fn renewed(&mut self, from: &NodeName, beat: u64, refused: &[(FragmentId, u32)]) {
        let Some(sent) = self.shared.beats.get(&beat).filter(|sent| sent.to == *from) else { return };
        let (sent_at, fragments) = (sent.sent_at, sent.fragments.clone());
        self.shared.beats.remove(&beat);
        for (fragment, epoch) in fragments {
            let refusal = refused.iter().find(|(refused, _)| *refused == fragment).map(|(_, epoch)| *epoch);
            self.with(fragment, |seat, s| seat.renewed(s, from, sent_at, epoch, refusal));
        }
    }
}
