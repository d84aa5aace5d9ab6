//! From the target's Hello to the Offer: who is it, do both ends agree already, and what does this end have.

use std::collections::BTreeMap;
use std::time::Duration;

use limosa_core::{FragmentFacts, FragmentId, Scope};
use limosa_wire::{Hello, Message, Offer, OfferedFragment, Purpose, Refusal, Refuse, common_features, negotiate};

use super::{Action, Cut, Epochs, Job, Phase, Progress, Source, TailStart};
use crate::error::SessionError;
use crate::shared::shared_digest;

impl Source {
    pub(super) fn on_hello(&mut self, hello: Hello) -> Result<(), SessionError> {
        let identity = |why| SessionError::Identity { peer: self.config.peer.clone(), why };
        if hello.cluster != self.config.cluster {
            return Err(identity("it belongs to another cluster"));
        }
        if hello.node != self.config.peer {
            return Err(identity("it says another name than its certificate"));
        }
        if hello.space_keys != self.config.space_keys {
            return Err(identity("its space keys are others: was its bundle issued by this cluster?"));
        }
        let (ours, theirs) = (self.config.wire_versions, hello.wire_versions);
        self.wire_version = negotiate(ours, theirs).map_err(|_| SessionError::WireVersion { ours, theirs })?;
        self.features =
            common_features(self.config.features, hello.features).map_err(|_| identity("it lacks a feature that is needed: upgrade it"))?;
        let window = self.config.credit_window.min(hello.credit_window.max(1));
        self.sending = super::Sending::new(window);
        self.live = super::live::Live::new(window);
        if hello.purpose != Purpose::Follow {
            self.config.permit.epochs = Epochs::Given; // who collects asks members, and those open nothing
        }
        let asked = if hello.scope.is_empty() { Scope::All } else { Scope::only(hello.scope.iter().copied()) };
        self.reach.narrow(&asked.intersect(&self.config.permit.scope));
        if self.reach.is_empty() {
            return Err(SessionError::Scope { why: "this node may send none of the fragments that were asked for" });
        }
        self.hello = Some(hello);
        self.compare();
        Ok(())
    }

    /// Looks afresh at what this end has, to offer it.
    pub(super) fn compare(&mut self) {
        self.phase = Phase::Comparing;
        self.release_cut();
        self.reconciling = None;
        if self.job_under_way {
            self.answer_is_stale = true;
        } else {
            self.job(Job::Cut);
        }
    }

    pub(super) fn on_cut(&mut self, now: Duration, position: u64, facts: Vec<FragmentFacts>) -> Result<(), SessionError> {
        let facts = self.reach.take_in(facts);
        if facts.is_empty() {
            return Err(SessionError::Scope { why: "this node has none of the fragments that were asked for" });
        }
        let by_id: BTreeMap<FragmentId, FragmentFacts> = facts.into_iter().map(|facts| (facts.id, facts)).collect();
        self.cut = Some(Cut { position, facts: by_id, taken_at: now, bytes_sent: 0 });
        match self.phase {
            Phase::Comparing => self.offer_or_open_epoch(),
            // Fragments were split or merged meanwhile: they are offered anew, and the target takes its stage over to them.
            Phase::Sending if self.is_reframed() => {
                self.phase = Phase::Comparing;
                self.offer_or_open_epoch()
            }
            Phase::Sending => {
                self.next_round();
                Ok(())
            }
            phase => unreachable!("no cut is asked for while {}", phase.word()),
        }
    }

    /// Whether the new cut has other fragments than were offered.
    fn is_reframed(&self) -> bool {
        let cut = self.cut.as_ref().expect("the cut was just taken");
        !cut.facts.keys().eq(self.targets.keys())
    }

    fn offer_or_open_epoch(&mut self) -> Result<(), SessionError> {
        let theirs = self.hello.as_ref().map_or(0, |hello| hello.epoch_max);
        if self.own_epoch() < theirs && self.config.permit.epochs == Epochs::Opened {
            // The target wrote under an epoch that this end never opened: before anything of it is replaced, this end's epoch must be above.
            self.release_cut();
            self.job(Job::OpenEpoch { above: theirs });
            return Ok(());
        }
        self.offer();
        Ok(())
    }

    fn offer(&mut self) {
        let cut = self.cut.as_ref().expect("the cut was just taken");
        let position = cut.position;
        let facts: Vec<FragmentFacts> = cut.facts.values().cloned().collect();
        let shared = self.hello.as_ref().map(|hello| hello.shared);
        let equal = self.offers == 0 && shared == Some(shared_digest(&facts));
        self.offers += 1;
        self.sending.restart(); // both ends count frames, bytes and positions anew from each offer on
        self.live.restart();
        self.progress = Progress { offers: self.offers, ..Progress::default() };
        let fragments = if equal { Vec::new() } else { facts.iter().map(offered).collect() };
        let session = self.salt();
        let features = self.features;
        self.send(Message::Offer(Offer { wire_version: self.wire_version, features, session, equal, fragments }));
        if equal {
            self.tell_held(facts.iter().map(|facts| (facts.id, facts.head)).collect());
            self.actions.push_back(Action::Acknowledged(position)); // it has all of this cut, durably
            self.pieces.clear();
            self.release_cut();
            self.phase = Phase::Live;
            self.open_tail(TailStart::At(position));
        } else {
            self.phase = Phase::AwaitHave;
            self.targets.clear();
        }
    }

    /// Looks for a place in the order of commits, of the session's fragments.
    pub(super) fn open_tail(&mut self, start: TailStart) {
        let scope = self.reach.scope().clone();
        self.job(Job::OpenTail { start, scope });
    }

    /// Names this offer, and salts the ids of its comparison: another one each time, so that a collision does not repeat.
    pub(super) fn salt(&self) -> u64 {
        self.config.session.wrapping_add(u64::from(self.offers))
    }

    pub(super) fn own_epoch(&self) -> u32 {
        let cut = self.cut.as_ref().expect("asked only with a cut");
        cut.facts.values().map(|facts| facts.epochs.epoch()).max().unwrap_or(0)
    }

    pub(super) fn on_refuse(&mut self, refuse: Refuse) -> Result<(), SessionError> {
        if refuse.why == Refusal::NoRoom {
            return Err(SessionError::NoRoom { detail: refuse.detail });
        }
        self.too_many_offers(refuse.fragment, refuse.detail)?;
        // The target forgets what it was told of the fragment and says so in its next Have: it is reconciled.
        self.compare();
        Ok(())
    }
}

fn offered(facts: &FragmentFacts) -> OfferedFragment {
    OfferedFragment {
        id: facts.id,
        range: facts.range.clone(),
        head: facts.head,
        state: facts.state,
        live: facts.live,
        live_bytes: facts.live_bytes,
        floor: facts.floor,
        epochs: facts.epochs.clone(),
    }
}
