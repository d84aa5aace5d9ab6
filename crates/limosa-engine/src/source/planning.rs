//! From the target's Have to the Plan: what each range needs, what that costs, and whether the exact commits are the cheaper way.

use limosa_core::{FragmentId, KeyRange, Version};
use limosa_wire::{Have, HaveFragment, Message, Method, Plan, PlanItem};

use super::{Action, Epochs, Job, Phase, Source, TailStart, TargetState};
use crate::error::SessionError;
use crate::plan::{self, Alternative, Estimate, Piece};

impl Source {
    pub(super) fn on_have(&mut self, have: Have) -> Result<(), SessionError> {
        for fragment in have.fragments {
            self.take_have(fragment)?;
        }
        if have.last { self.assess() } else { Ok(()) }
    }

    fn take_have(&mut self, mut have: HaveFragment) -> Result<(), SessionError> {
        let malformed = |why| SessionError::Malformed { message: "Have", why };
        let cut = self.cut.as_ref().expect("an offer holds its cut");
        if self.reach.has_left(have.id) {
            return Ok(());
        }
        let facts = cut.facts.get(&have.id).ok_or_else(|| malformed("a fragment that was not offered"))?;
        if *have.map.range() != facts.range {
            return Err(malformed("a map of another range than the fragment's"));
        }
        let mut keys = std::mem::take(&mut have.own_keys);
        if let Some(known) = self.targets.get_mut(&have.id) {
            known.own_keys.append(&mut keys);
        } else {
            let map = have.map.clone();
            self.targets.insert(have.id, TargetState { map, have, own_keys: keys });
        }
        Ok(())
    }

    fn assess(&mut self) -> Result<(), SessionError> {
        let cut = self.cut.as_ref().expect("an offer holds its cut");
        if self.targets.len() != cut.facts.len() {
            return Err(SessionError::Malformed { message: "Have", why: "a fragment missing" });
        }
        self.pieces.clear();
        let (mut epoch_above, mut too_low) = (false, None);
        for (facts, target) in cut.facts.values().zip(self.targets.values_mut()) {
            target.own_keys.sort_unstable();
            target.own_keys.dedup();
            let pieces = plan::assess(facts, &target.have);
            if plan::needs_epoch_above(&pieces, &target.have) {
                epoch_above = true;
                let (fragment, ours) = (facts.id, facts.epochs.epoch());
                let theirs = target.have.each_part().map(|(_, head, _)| head.epoch).max().unwrap_or(0);
                too_low = too_low.or((ours <= theirs).then_some(SessionError::Epoch { fragment, ours, theirs }));
            }
            self.pieces.extend(pieces.into_iter().map(|piece| (facts.id, piece)));
        }
        // What both histories have: durable there, for a target recovers only what its journal has.
        let lowest = |have: &HaveFragment| have.each_part().map(|(_, _, common)| common).min().unwrap_or_default();
        let common = self.targets.values().map(|target| (target.have.id, lowest(&target.have))).collect();
        self.tell_held(common);
        let theirs = self.hello.as_ref().map_or(0, |hello| hello.epoch_max);
        if self.config.permit.epochs == Epochs::Given
            && let Some(error) = too_low
        {
            return Err(error);
        }
        if self.config.permit.epochs == Epochs::Opened && epoch_above && self.own_epoch() <= theirs {
            // The same epoch on both sides and yet something to replace: two openers, or a drift. Rise above it first, then offer again.
            self.release_cut();
            self.phase = Phase::Comparing;
            self.job(Job::OpenEpoch { above: theirs });
            return Ok(());
        }
        self.phase = Phase::Planning;
        let facts: Vec<_> = self.cut.as_ref().expect("an offer holds its cut").facts.values().cloned().collect();
        let haves: Vec<_> = self.targets.values().map(|target| target.have.clone()).collect();
        self.may_tail = plan::may_tail(&facts, &haves);
        self.tail_bytes = None;
        if self.may_tail {
            self.open_tail(TailStart::Behind(haves.iter().map(|have| (have.id, have.head)).collect()));
        } else {
            self.estimate();
        }
        Ok(())
    }

    pub(super) fn on_tail_opened(&mut self, bytes: Option<u64>) -> Result<(), SessionError> {
        match self.phase {
            Phase::Planning => {
                self.tail_bytes = bytes;
                self.estimate();
            }
            Phase::Sealing | Phase::Live => self.live.opened(bytes.is_some()),
            phase => unreachable!("no tail is asked for while {}", phase.word()),
        }
        Ok(())
    }

    fn estimate(&mut self) {
        let ranges: Vec<(FragmentId, KeyRange, Version)> =
            self.pieces.iter().map(|(id, piece)| (*id, piece.range.clone(), piece.since)).collect();
        self.job(Job::Estimate(ranges));
    }

    pub(super) fn on_estimated(&mut self, estimates: &[Estimate]) -> Result<(), SessionError> {
        assert_eq!(estimates.len(), self.pieces.len(), "one estimate for each piece");
        let stays = |((id, _), _): &((FragmentId, Piece), Estimate)| self.targets.contains_key(id);
        let asked = std::mem::take(&mut self.pieces).into_iter().zip(estimates.iter().copied());
        let (pieces, estimates): (Vec<_>, Vec<Estimate>) = asked.filter(stays).unzip();
        self.pieces = pieces;
        let delta_bytes: u64 = estimates.iter().map(|estimate| estimate.bytes).sum();
        if let Some(tail_bytes) = self.tail_bytes
            && plan::tail_wins(tail_bytes, delta_bytes)
        {
            self.start_tail(tail_bytes, &estimates);
            return Ok(());
        }
        let items = self.pieces.iter().zip(&estimates).map(|((id, piece), estimate)| plan::item(*id, piece, *estimate)).collect();
        let tail = self.tail_cost();
        let others = self.pieces.iter().zip(&estimates).map(|((_, piece), estimate)| plan::alternatives(piece.method, *estimate, tail));
        let others = others.collect();
        self.announce(items, others);
        self.progress.bytes_total = delta_bytes;
        let ranges = self.ranges_to_reconcile();
        if ranges.is_empty() {
            self.start_sending();
        } else {
            self.start_reconciling(ranges);
        }
        Ok(())
    }

    /// The exact commits: no stage, no seal; the live stream starts where the target is.
    fn start_tail(&mut self, bytes: u64, estimates: &[Estimate]) {
        let reason = "the recent commits are at hand and no more than the delta".to_owned();
        let fragment = self.targets.keys().next().copied().unwrap_or_default();
        let others = plan::alternatives(Method::Tail, estimates.iter().copied().sum(), Ok(bytes));
        self.announce(vec![PlanItem { fragment, method: Method::Tail, entries: 0, bytes, reason, range: None }], vec![others]);
        self.progress.bytes_total = bytes;
        self.release_cut();
        self.phase = Phase::Live;
        self.live.opened(true);
    }

    /// What the exact commits would cost, or why they can't be had.
    fn tail_cost(&self) -> Result<u64, &'static str> {
        if !self.may_tail {
            return Err("the target does not stand, whole, at a version of this history");
        }
        self.tail_bytes.ok_or("the commits behind the target are in neither ring nor journal any more")
    }

    fn announce(&mut self, items: Vec<PlanItem>, others: Vec<Vec<Alternative>>) {
        assert_eq!(items.len(), others.len(), "one list of alternatives for each item");
        self.actions.push_back(Action::Alternatives(others));
        for item in &items {
            *self.methods.entry(item.method).or_default() += item.bytes;
        }
        self.send(Message::Plan(Plan { items }));
    }

    fn ranges_to_reconcile(&mut self) -> Vec<(FragmentId, KeyRange)> {
        let compared = |piece: &Piece| piece.method == Method::Reconcile;
        let ranges: Vec<_> =
            self.pieces.iter().filter(|(_, piece)| compared(piece)).map(|(id, piece)| (*id, piece.range.clone())).collect();
        for (id, range) in &ranges {
            // Both ends forget what the map said of a range under comparison: its frames start from zero.
            let target = self.targets.get_mut(id).expect("pieces are of known fragments");
            target.map.set(range, Version::ZERO);
        }
        ranges
    }
}
