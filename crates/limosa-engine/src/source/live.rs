//! The live stream: commits behind the cut, from ring or journal; a target that falls behind both gets a delta instead.

use std::collections::{BTreeMap, VecDeque};

use limosa_core::limits::LIVE_BATCH_BYTES;
use limosa_core::{FragmentId, Version};
use limosa_wire::{Ack, Message, features};

use super::{Action, Job, Phase, Source, TailRead};
use crate::credit::{Credit, live_cost};
use crate::error::SessionError;

/// Whether there is a place to read on from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// Being looked for.
    Opening,
    /// More may lie behind it.
    Ready,
    /// Nothing lies behind it until the store publishes again.
    CaughtUp,
    /// The commits behind it are gone from ring and journal.
    Lost,
}

/// The state of the live stream.
#[derive(Debug)]
pub(super) struct Live {
    credit: Credit,
    window: u64,
    place: Place,
    /// The store published while a read was under way: its "nothing yet" may be old.
    published: bool,
    sealed: Option<u64>,
    sealed_heads: Vec<(FragmentId, Version)>,
    upto: u64,
    acknowledged: u64,
    /// Behind `upto` and up to here lies nothing that a standby needs.
    covered: u64,
    /// Messages that are not acknowledged: their `upto`, and what the fragments that they touch are at behind them.
    on_the_way: VecDeque<(u64, Vec<(FragmentId, Version)>)>,
    /// A read of the tail is under way: what it gives may be of fragments that left meanwhile.
    reading: bool,
    /// Fragments that left, which the target is told behind that read.
    left: Vec<FragmentId>,
}

impl Live {
    pub(super) fn new(window: u64) -> Self {
        Self {
            credit: Credit::new(window),
            window,
            place: Place::Opening,
            published: false,
            sealed: None,
            sealed_heads: Vec::new(),
            upto: 0,
            acknowledged: 0,
            covered: 0,
            on_the_way: VecDeque::new(),
            reading: false,
            left: Vec::new(),
        }
    }

    pub(super) fn restart(&mut self) {
        *self = Self { left: std::mem::take(&mut self.left), ..Self::new(self.window) };
    }

    /// These fragments are held by the target as far as was told, and no further.
    pub(super) fn leave(&mut self, fragments: &[FragmentId]) {
        let stays = |(id, _): &(FragmentId, Version)| !fragments.contains(id);
        self.sealed_heads.retain(stays);
        self.on_the_way.iter_mut().for_each(|(_, heads)| heads.retain(stays));
        self.left.extend(fragments);
        self.left.sort_unstable();
    }

    pub(super) fn take_left(&mut self) -> Vec<FragmentId> {
        std::mem::take(&mut self.left)
    }

    /// What the read gave is not sent.
    pub(super) fn give_up_read(&mut self) {
        self.reading = false;
    }

    pub(super) fn is_reading(&self) -> bool {
        self.reading
    }

    pub(super) fn seal(&mut self, position: u64, heads: Vec<(FragmentId, Version)>) {
        self.sealed = Some(position);
        self.sealed_heads = heads;
    }

    /// What the target has once it is at the seal.
    pub(super) fn installed(&mut self) -> Vec<(FragmentId, Version)> {
        std::mem::take(&mut self.sealed_heads)
    }

    pub(super) fn sealed(&self) -> Option<u64> {
        self.sealed
    }

    pub(super) fn opened(&mut self, found: bool) {
        self.place = if found { Place::Ready } else { Place::Lost };
    }

    pub(super) fn wake(&mut self) {
        self.published = true;
        if self.place == Place::CaughtUp {
            self.place = Place::Ready;
        }
    }

    /// False when the target acknowledges what was never sent.
    #[must_use]
    pub(super) fn acknowledge(&mut self, ack: Ack) -> bool {
        self.acknowledged = ack.live;
        ack.live <= self.upto.max(self.sealed.unwrap_or(0)) && self.credit.give_back(ack.live_bytes)
    }

    /// What the messages that were acknowledged since the last call brought the fragments to.
    fn newly_held(&mut self) -> Vec<(FragmentId, Version)> {
        let mut held = BTreeMap::new();
        while let Some((_, heads)) = self.on_the_way.pop_front_if(|(upto, _)| *upto <= self.acknowledged) {
            held.extend(heads);
        }
        held.into_iter().collect()
    }

    /// What the target has durably, in the source's order.
    fn durable(&self) -> u64 {
        if self.acknowledged >= self.upto { self.acknowledged.max(self.covered) } else { self.acknowledged }
    }
}

impl Source {
    pub(super) fn pump_live(&mut self) -> Result<(), SessionError> {
        match self.live.place {
            Place::Ready if !self.job_under_way && self.live.credit.is_open() => {
                self.live.published = false;
                self.live.reading = true;
                self.job(Job::ReadTail { max_bytes: LIVE_BATCH_BYTES });
            }
            Place::Lost if !self.job_under_way => self.compare(),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn tell_acknowledged(&mut self) {
        let held = self.live.newly_held();
        self.tell_held(held);
        let position = self.live.durable();
        if position > 0 {
            self.actions.push_back(Action::Acknowledged(position));
        }
    }

    pub(super) fn tell_held(&mut self, held: Vec<(FragmentId, Version)>) {
        if !held.is_empty() {
            self.actions.push_back(Action::Held(held));
        }
    }

    pub(super) fn on_tail(&mut self, read: TailRead) -> Result<(), SessionError> {
        assert_eq!(self.phase, Phase::Live, "the tail is read in the live phase only");
        self.live.reading = false;
        self.take_read(read)?;
        self.tell_left();
        Ok(())
    }

    fn take_read(&mut self, read: TailRead) -> Result<(), SessionError> {
        match read {
            TailRead::CaughtUp(position) => {
                self.live.place = if self.live.published { Place::Ready } else { Place::CaughtUp };
                self.live.covered = position;
                self.tell_acknowledged();
            }
            // The target is where the last message left it: it offers no more than what changed since, and streams again behind that.
            TailRead::Lost => self.live.place = Place::Lost,
            TailRead::Batch { live, .. } if !live.reframe.is_empty() && self.features & features::REFRAME == 0 => {
                let why = "it can't follow fragments that are split or merged: upgrade it";
                return Err(SessionError::Identity { peer: self.config.peer.clone(), why });
            }
            TailRead::Batch { live, mut heads } => {
                if !live.reframe.is_empty() {
                    self.reach.add(&heads.iter().map(|(id, _)| *id).collect::<Vec<_>>());
                }
                heads.retain(|(id, _)| !self.reach.has_left(*id));
                self.live.credit.spend(live_cost(&live));
                self.live.upto = live.upto;
                self.live.on_the_way.push_back((live.upto, heads));
                self.send(Message::Live(live));
            }
        }
        Ok(())
    }
}
