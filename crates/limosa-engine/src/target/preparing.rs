//! From the Offer to the Have and from the Plan to the stage: where the histories part, and what must be set aside.

use std::collections::BTreeSet;

use bytes::Bytes;
use limosa_core::planted::{self, Bug};
use limosa_core::{Digest, FragmentId, IntervalMap, KeyRange, Scope, Version};
use limosa_wire::{Have, HaveFragment, HavePart, Message, Method, Offer, OfferedFragment, Plan, PlanItem, Purpose, features};

use super::{Action, Job, Phase, StageState, Target};
use crate::error::SessionError;

/// Bytes of keys in one Have message.
const OWN_KEYS_BYTES: usize = 1 << 20;

impl Target {
    pub(super) fn on_offer(&mut self, offer: Offer) -> Result<(), SessionError> {
        // Of an offer in the middle of the live stream commits may still be under way to the journal: their answers are to the old one.
        self.forget_jobs();
        self.compared.clear();
        let speaks_of_some = offer.features & features::SCOPE != 0;
        if !speaks_of_some && (!self.reach.scope().is_all() || self.config.purpose != Purpose::Follow) {
            return Err(SessionError::Scope { why: "the peer can't speak of some fragments only: upgrade it" });
        }
        if offer.equal {
            if self.stage.is_some() {
                return Err(SessionError::Malformed { message: "Offer", why: "equality with a target that has a stage open" });
            }
            self.offer = Some(offer);
            self.enter_live();
            return Ok(());
        }
        self.take_offered(offer)?;
        self.phase = Phase::Preparing;
        self.ask_state();
        Ok(())
    }

    /// What is offered lies within the session's reach, and what is not offered is no part of the session any more.
    fn take_offered(&mut self, mut offer: Offer) -> Result<(), SessionError> {
        offer.fragments.retain(|offered| !self.reach.has_left(offered.id));
        if offer.fragments.iter().any(|offered| !self.reach.covers(offered.id, &offered.range)) {
            return Err(SessionError::Malformed { message: "Offer", why: "a fragment that was not asked for" });
        }
        let is_offered = |range: &KeyRange| offer.fragments.iter().any(|offered| offered.range.intersect(range).is_some());
        let missing: Vec<FragmentId> = self.facts.values().filter(|own| !is_offered(&own.range)).map(|own| own.id).collect();
        self.offer = Some(offer);
        self.on_left(&missing)
    }

    pub(super) fn enter_live(&mut self) {
        self.phase = Phase::Live;
        self.actions.push_back(Action::Consistent);
    }

    /// Finds the common point of each fragment, part by part; sets aside what this node wrote behind it.
    pub(super) fn prepare(&mut self) -> Result<(), SessionError> {
        let offer = self.offer.take().expect("held while Preparing");
        let parts: Vec<Vec<Part>> = offer.fragments.iter().map(|offered| self.parts(offered)).collect::<Result<_, _>>()?;
        let reframes = offer.features & features::REFRAME != 0;
        let haves = offer.fragments.iter().zip(&parts).map(|(offered, parts)| self.have(offered, parts, reframes));
        self.haves = haves.collect::<Result<_, _>>()?;
        self.offer = Some(offer);
        self.keep_or_drop_stage();
        let is_own_tail = |part: &&Part| part.head != part.common && !part.common.is_zero();
        let tails: Vec<_> = parts.iter().flatten().filter(is_own_tail).map(|part| (part.own, part.range.clone(), part.common)).collect();
        if tails.is_empty() {
            self.send_have(Vec::new());
        } else {
            // Set aside before the source is told: once it knows, frames that replace these keys may come.
            let write = self.stage.is_none();
            self.job(Job::SetAsideTails { tails, write });
        }
        Ok(())
    }

    /// What this node has of an offered fragment: parts of one or several of its own fragments, in key order.
    fn parts(&self, offered: &OfferedFragment) -> Result<Vec<Part>, SessionError> {
        let mut parts = Vec::new();
        for own in self.facts.values() {
            let Some(both) = own.range.intersect(&offered.range) else { continue };
            for (range, common) in own.epochs.common_points(own.head, &offered.epochs, offered.head, &both) {
                let common = if self.suspects.contains(&own.id) || self.suspects.contains(&offered.id) { Version::ZERO } else { common };
                parts.push(Part { own: own.id, range, head: own.head, common });
            }
        }
        parts.sort_by(|a, b| a.range.start.cmp(&b.range.start));
        let starts = parts.first().is_some_and(|first| first.range.start == offered.range.start);
        let ends = parts.last().is_some_and(|last| last.range.end == offered.range.end);
        if !starts || !ends || parts.windows(2).any(|pair| pair[0].range.end.as_ref() != Some(&pair[1].range.start)) {
            return Err(SessionError::Malformed { message: "Offer", why: "a fragment with keys that this node has no place for" });
        }
        Ok(parts)
    }

    fn have(&self, offered: &OfferedFragment, parts: &[Part], reframes: bool) -> Result<HaveFragment, SessionError> {
        let map = IntervalMap::of(offered.range.clone(), parts.iter().map(|part| (part.range.clone(), part.common)));
        let same = self.facts.get(&offered.id).filter(|own| own.range == offered.range);
        let (id, common) = (offered.id, map.uniform());
        if let (Some(own), Some(common)) = (same, common) {
            let (head, state, live) = (own.head, own.state, own.live);
            return Ok(HaveFragment { id, head, state, live, common, map, own_keys: Vec::new(), parts: Vec::new() });
        }
        let head = parts.iter().map(|part| part.head).max().unwrap_or_default();
        if head.is_zero() {
            // Nothing was ever written here: whatever the source's fragments are, this is an empty range of them.
            return Ok(empty(id, map));
        }
        if !reframes {
            return Err(SessionError::Malformed { message: "Offer", why: "fragments with other ranges than this node's" });
        }
        let first = |index: usize, part: &Part| if index == 0 { Bytes::new() } else { part.range.start.clone() };
        let told =
            parts.iter().enumerate().map(|(index, part)| HavePart { start: first(index, part), head: part.head, common: part.common });
        Ok(HaveFragment { head, parts: told.collect(), ..empty(id, map) })
    }

    /// What earlier sessions staged goes on where it was opened at the same common points; its map is the resume token. Where the source has
    /// split or merged fragments since, it goes on in those.
    fn keep_or_drop_stage(&mut self) {
        let Some(mut stage) = self.stage.take() else { return };
        let wanted: Vec<(FragmentId, KeyRange)> = self.haves.iter().map(|have| (have.id, have.map.range().clone())).collect();
        let (inside, outside): (Vec<_>, Vec<_>) =
            stage.fragments.into_iter().partition(|(_, _, map)| wanted.iter().any(|(_, range)| range.intersect(map.range()).is_some()));
        self.abort(outside.iter().map(|(id, ..)| *id).collect());
        stage.fragments = inside;
        if planted::has(Bug::ForgetStage) {
            self.abort(stage.fragments.iter().map(|(id, ..)| *id).collect());
            return;
        }
        let staged = |range: &KeyRange| stage.fragments.iter().any(|(_, _, map)| map.range().intersect(range).is_some());
        let kept: Vec<(FragmentId, KeyRange)> = wanted.into_iter().filter(|(_, range)| staged(range)).collect();
        let is_same = |(id, _, map): &(FragmentId, IntervalMap, IntervalMap)| kept.contains(&(*id, map.range().clone()));
        let same = stage.fragments.len() == kept.len() && stage.fragments.iter().all(is_same);
        let framed = reframed(&stage, &kept);
        let (fitting, unfit): (Vec<_>, Vec<_>) = framed.fragments.into_iter().partition(|(id, start, _)| self.fits(*id, start));
        if !same && (!unfit.is_empty() || !is_whole(&stage, &kept)) {
            self.abort(stage.fragments.iter().map(|(id, ..)| *id).collect());
            return;
        }
        if !same {
            self.job(Job::ReframeStage { session: self.config.stage, fragments: kept });
        }
        self.abort(unfit.iter().map(|(id, ..)| *id).collect());
        self.go_on_with(fitting);
    }

    /// Whether what is staged of an offered fragment was opened at its common points. Zero: it was being compared by content.
    fn fits(&self, id: FragmentId, start: &IntervalMap) -> bool {
        let have = self.haves.iter().find(|have| have.id == id).expect("what is kept is offered");
        let commons = commons(have);
        start.iter().all(|(range, version)| version.is_zero() || commons.bounds(&range) == (version, version))
    }

    fn go_on_with(&mut self, fragments: Vec<(FragmentId, IntervalMap, IntervalMap)>) {
        let was_compared = |(id, start, _): &(FragmentId, IntervalMap, IntervalMap)| {
            let zero = start.iter().filter(|(_, version)| version.is_zero());
            zero.into_iter().any(|(range, _)| self.holds_some(&range)).then_some(*id)
        };
        self.compared = fragments.iter().filter_map(was_compared).collect();
        for (id, _, map) in &fragments {
            let have = self.haves.iter_mut().find(|have| have.id == *id).expect("what is kept is offered");
            have.map = map.clone();
        }
        self.stage = (!fragments.is_empty()).then_some(StageState { fragments });
    }

    fn abort(&mut self, fragments: Vec<FragmentId>) {
        if !fragments.is_empty() {
            self.actions.push_back(Action::Job(Job::AbortStage(Scope::only(fragments))));
        }
    }

    /// Whether anything was ever written here in `range`.
    fn holds_some(&self, range: &KeyRange) -> bool {
        self.facts.values().any(|facts| !facts.head.is_zero() && facts.range.intersect(range).is_some())
    }

    pub(super) fn send_have(&mut self, own_keys: Vec<(FragmentId, Vec<Bytes>)>) {
        self.phase = Phase::AwaitPlan;
        let mut messages = vec![Have { fragments: self.haves.clone(), last: false }];
        let mut bytes = 0;
        let mut places: Vec<&HaveFragment> = self.haves.iter().collect();
        places.sort_by(|a, b| a.map.range().start.cmp(&b.map.range().start));
        for (_, keys) in own_keys {
            for key in keys {
                // By its place: what this node calls its fragment need not be what the source does.
                let place = places.partition_point(|have| have.map.range().start <= key);
                let have = place.checked_sub(1).map(|place| places[place]);
                let Some(have) = have.filter(|have| have.map.range().contains(&key)) else { continue }; // it left meanwhile
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
            self.abort_stage(); // an earlier session left it; what readers see is where the commits go on
            self.enter_live();
            return Ok(());
        }
        self.phase = Phase::Receiving;
        let compared: BTreeSet<_> = plan.items.iter().filter(|item| item.method == Method::Reconcile).map(|item| item.fragment).collect();
        let ranges = self.ranges_to_compare(plan)?;
        self.open_stage();
        self.compared.extend(&compared);
        if !ranges.is_empty() {
            self.start_comparing(ranges);
        }
        Ok(())
    }

    /// The ranges that the plan compares: both ends forget what the map said of them.
    fn ranges_to_compare(&mut self, plan: &Plan) -> Result<Vec<(FragmentId, KeyRange)>, SessionError> {
        let malformed = |why| SessionError::Malformed { message: "Plan", why };
        let mut ranges = Vec::new();
        let (mut seen, mut again) = (BTreeSet::new(), BTreeSet::new());
        let reconciled = |item: &&PlanItem| item.method == Method::Reconcile && !self.reach.has_left(item.fragment);
        for item in plan.items.iter().filter(reconciled) {
            let have = self.haves.iter_mut().find(|have| have.id == item.fragment);
            let have = have.ok_or_else(|| malformed("a fragment that was not offered"))?;
            let whole = have.map.range().clone();
            match &item.range {
                Some(range) if !whole.covers(range) => return Err(malformed("a range outside its fragment")),
                Some(range) => {
                    if have.map.bounds(range).1 > Version::ZERO {
                        have.map.set(range, Version::ZERO);
                        again.insert(have.id);
                    }
                    ranges.push((have.id, range.clone()));
                }
                None if seen.insert(have.id) => {
                    if have.map.bounds(&whole).0 > Version::ZERO {
                        have.map = IntervalMap::new(whole, Version::ZERO);
                        again.insert(have.id);
                    }
                    ranges.extend(have.map.iter().filter(|(_, version)| version.is_zero()).map(|(range, _)| (have.id, range)));
                }
                None => {}
            }
        }
        if let Some(stage) = &mut self.stage {
            stage.fragments.retain(|(id, ..)| !again.contains(id)); // staged again with these ranges at zero
        }
        Ok(ranges)
    }

    /// Stages what is not staged yet.
    fn open_stage(&mut self) {
        let stage = self.stage.get_or_insert_with(|| StageState { fragments: Vec::new() });
        let is_new = |have: &&HaveFragment| stage.fragments.iter().all(|(id, ..)| *id != have.id);
        let new: Vec<&HaveFragment> = self.haves.iter().filter(is_new).collect();
        let starts: Vec<_> = new.iter().map(|have| (have.id, have.map.range().clone(), have.map.clone())).collect();
        if starts.is_empty() {
            return;
        }
        stage.fragments.extend(starts.iter().map(|(id, _, map)| (*id, map.clone(), map.clone())));
        self.job(Job::OpenStage { session: self.config.stage, starts });
    }
}

/// A part of an offered fragment that lies in one fragment, and one history, of this node.
struct Part {
    own: FragmentId,
    range: KeyRange,
    head: Version,
    common: Version,
}

fn empty(id: FragmentId, map: IntervalMap) -> HaveFragment {
    let zero = Version::ZERO;
    HaveFragment { id, head: zero, state: Digest::ZERO, live: 0, common: zero, map, own_keys: Vec::new(), parts: Vec::new() }
}

/// Whether the stage has every key of `fragments`.
fn is_whole(stage: &StageState, fragments: &[(FragmentId, KeyRange)]) -> bool {
    let mut staged: Vec<&KeyRange> = stage.fragments.iter().map(|(_, _, map)| map.range()).collect();
    staged.sort_by(|a, b| a.start.cmp(&b.start));
    let reaches = |(_, range): &(FragmentId, KeyRange)| {
        let mut end = Some(range.start.clone());
        for next in &staged {
            if end.as_ref().is_some_and(|end| next.contains(end)) {
                end.clone_from(&next.end);
            }
        }
        end.is_none_or(|end| range.end.as_ref().is_some_and(|wanted| end >= *wanted))
    };
    fragments.iter().all(reaches)
}

/// What both histories have of each part.
fn commons(have: &HaveFragment) -> IntervalMap {
    IntervalMap::of(have.map.range().clone(), have.each_part().map(|(range, _, common)| (range, common)))
}

/// The stage as it is in the fragments of `wanted`, in their order.
fn reframed(stage: &StageState, wanted: &[(FragmentId, KeyRange)]) -> StageState {
    let starts = || stage.fragments.iter().flat_map(|(_, start, _)| start.iter());
    let maps = || stage.fragments.iter().flat_map(|(_, _, map)| map.iter());
    let one =
        |(id, range): &(FragmentId, KeyRange)| (*id, IntervalMap::of(range.clone(), starts()), IntervalMap::of(range.clone(), maps()));
    StageState { fragments: wanted.iter().map(one).collect() }
}

fn push_own_key(message: &mut Have, have: &HaveFragment, key: Bytes) {
    match message.fragments.iter_mut().find(|fragment| fragment.id == have.id) {
        Some(fragment) => fragment.own_keys.push(key),
        None => message.fragments.push(HaveFragment { own_keys: vec![key], ..have.clone() }),
    }
}
