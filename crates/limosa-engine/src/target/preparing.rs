//! From the Offer to the Have and from the Plan to the stage: where the histories part, and what must be set aside.

use std::collections::BTreeSet;

use bytes::Bytes;
use limosa_core::{Digest, FragmentFacts, FragmentId, IntervalMap, KeyRange, Version};
use limosa_wire::{Have, HaveFragment, Message, Method, Offer, OfferedFragment, Plan};

use super::{Action, Job, Phase, StageState, Target};
use crate::error::SessionError;

/// Bytes of keys in one Have message.
const OWN_KEYS_BYTES: usize = 1 << 20;

impl Target {
    pub(super) fn on_offer(&mut self, offer: Offer) -> Result<(), SessionError> {
        self.receiving = super::Receiving::default();
        self.compared.clear();
        if offer.equal {
            if self.stage.is_some() {
                return Err(SessionError::Malformed { message: "Offer", why: "equality with a target that has a stage open" });
            }
            self.offer = Some(offer);
            self.enter_live();
            return Ok(());
        }
        self.offer = Some(offer);
        self.phase = Phase::Preparing;
        self.job(Job::State);
        Ok(())
    }

    pub(super) fn enter_live(&mut self) {
        self.phase = Phase::Live;
        self.actions.push_back(Action::Consistent);
    }

    /// Finds the common point of each fragment; sets aside what this node wrote behind it.
    pub(super) fn prepare(&mut self) -> Result<(), SessionError> {
        let offer = self.offer.take().expect("held while Preparing");
        self.haves = offer.fragments.iter().map(|offered| self.have(offered)).collect::<Result<_, _>>()?;
        self.offer = Some(offer);
        self.keep_or_drop_stage();
        let is_own_tail = |have: &&HaveFragment| have.head != have.common && !have.common.is_zero();
        let tails: Vec<_> = self.haves.iter().filter(is_own_tail).map(|have| (have.id, have.common)).collect();
        if tails.is_empty() {
            self.send_have(Vec::new());
        } else {
            // Set aside before the source is told: once it knows, frames that replace these keys may come.
            let write = self.stage.is_none();
            self.job(Job::SetAsideTails { tails, write });
        }
        Ok(())
    }

    fn have(&self, offered: &OfferedFragment) -> Result<HaveFragment, SessionError> {
        let map = |version| IntervalMap::new(offered.range.clone(), version);
        let Some(ours) = self.facts.get(&offered.id).filter(|ours| ours.range == offered.range) else {
            if self.facts.values().any(|facts| !facts.head.is_zero()) {
                return Err(SessionError::Malformed { message: "Offer", why: "fragments with other ranges than this node's" });
            }
            let zero = Version::ZERO;
            return Ok(HaveFragment {
                id: offered.id,
                head: zero,
                state: Digest::ZERO,
                live: 0,
                common: zero,
                map: map(zero),
                own_keys: Vec::new(),
            });
        };
        let common = self.common_point(ours, offered);
        let (head, state, live) = (ours.head, ours.state, ours.live);
        Ok(HaveFragment { id: offered.id, head, state, live, common, map: map(common), own_keys: Vec::new() })
    }

    fn common_point(&self, ours: &FragmentFacts, offered: &OfferedFragment) -> Version {
        if self.suspects.contains(&ours.id) {
            return Version::ZERO;
        }
        ours.epochs.common_point(ours.head, &offered.epochs, offered.head)
    }

    /// A stage of an earlier session goes on if it was opened at the same common points; its map is the resume token.
    fn keep_or_drop_stage(&mut self) {
        let Some(stage) = &self.stage else { return };
        let fits = stage.fragments.len() == self.haves.len()
            && stage.fragments.iter().zip(&self.haves).all(|((id, start, map), have)| {
                let started_so = *start == have.common || start.is_zero(); // zero: it was being compared by content
                *id == have.id && started_so && map.range() == have.map.range()
            });
        if !fits {
            self.stage = None;
            self.actions.push_back(Action::Job(Job::AbortStage));
            return;
        }
        let compared: BTreeSet<FragmentId> =
            stage.fragments.iter().filter(|(id, start, _)| start.is_zero() && !self.head_of(*id).is_zero()).map(|(id, ..)| *id).collect();
        for ((_, _, map), have) in stage.fragments.iter().zip(&mut self.haves) {
            have.map = map.clone();
        }
        self.compared = compared;
    }

    fn head_of(&self, fragment: FragmentId) -> Version {
        self.facts.get(&fragment).map_or(Version::ZERO, |facts| facts.head)
    }

    pub(super) fn send_have(&mut self, own_keys: Vec<(FragmentId, Vec<Bytes>)>) {
        self.phase = Phase::AwaitPlan;
        let mut messages = vec![Have { fragments: self.haves.clone(), last: false }];
        let mut bytes = 0;
        for (id, keys) in own_keys {
            let Some(have) = self.haves.iter().find(|have| have.id == id) else { continue };
            for key in keys {
                if bytes > OWN_KEYS_BYTES {
                    messages.push(Have { fragments: Vec::new(), last: false });
                    bytes = 0;
                }
                bytes += key.len() + 4;
                push_own_key(messages.last_mut().expect("never empty"), have, key);
            }
        }
        messages.last_mut().expect("never empty").last = true;
        messages.into_iter().for_each(|have| self.send(Message::Have(have)));
    }

    pub(super) fn on_plan(&mut self, plan: &Plan) -> Result<(), SessionError> {
        self.planned_bytes = plan.items.iter().map(|item| item.bytes).sum();
        for item in &plan.items {
            *self.methods.entry(item.method).or_default() += item.bytes;
        }
        if plan.items.iter().any(|item| item.method == Method::Tail) {
            if plan.items.len() != 1 {
                return Err(SessionError::Malformed { message: "Plan", why: "commits beside other methods" });
            }
            if self.stage.take().is_some() {
                self.job(Job::AbortStage); // an earlier session left it; what readers see is where the commits go on
            }
            self.enter_live();
            return Ok(());
        }
        self.phase = Phase::Receiving;
        let compared: BTreeSet<_> = plan.items.iter().filter(|item| item.method == Method::Reconcile).map(|item| item.fragment).collect();
        let ranges = self.ranges_to_compare(&compared);
        self.open_stage();
        self.compared.extend(&compared);
        if !ranges.is_empty() {
            self.start_comparing(ranges);
        }
        Ok(())
    }

    /// The ranges that the map knows nothing of; a fragment without one is compared whole and its map forgotten, as the source does.
    fn ranges_to_compare(&mut self, compared: &BTreeSet<FragmentId>) -> Vec<(FragmentId, KeyRange)> {
        let mut ranges = Vec::new();
        for have in self.haves.iter_mut().filter(|have| compared.contains(&have.id)) {
            if have.map.bounds(&have.map.range().clone()).0 > Version::ZERO {
                have.map = IntervalMap::new(have.map.range().clone(), Version::ZERO);
                self.stage = None; // opened again with this fragment at zero
            }
            ranges.extend(have.map.iter().filter(|(_, version)| version.is_zero()).map(|(range, _)| (have.id, range)));
        }
        ranges
    }

    fn open_stage(&mut self) {
        if self.stage.is_some() {
            return;
        }
        let start = |have: &HaveFragment| (have.id, have.map.range().clone(), have.map.bounds(have.map.range()).0);
        let starts: Vec<_> = self.haves.iter().map(start).collect();
        let session = self.offer.as_ref().map_or(0, |offer| offer.session);
        let fragments = starts.iter().map(|(id, range, version)| (*id, *version, IntervalMap::new(range.clone(), *version))).collect();
        self.stage = Some(StageState { fragments });
        self.job(Job::OpenStage { session, starts });
    }
}

fn push_own_key(message: &mut Have, have: &HaveFragment, key: Bytes) {
    match message.fragments.iter_mut().find(|fragment| fragment.id == have.id) {
        Some(fragment) => fragment.own_keys.push(key),
        None => message.fragments.push(HaveFragment { own_keys: vec![key], ..have.clone() }),
    }
}
