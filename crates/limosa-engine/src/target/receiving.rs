//! Frames into the stage, the seal, the live stream, and the acks that give credits back.

use std::collections::VecDeque;

use bytes::Bytes;
use limosa_core::columns::ColumnsBuilder;
use limosa_core::{EntryRef, FragmentId, Frame, KeyRange, Mode, Version};
use limosa_wire::{Ack, FrameMessage, Live, Message, Ready, Seal};

use super::{Job, Phase, Target};
use crate::credit::{frame_cost, live_cost};
use crate::error::SessionError;

/// Running totals behind one frame or live message.
#[derive(Clone, Copy, Debug)]
enum Taken {
    Frame { number: u64, bytes: u64 },
    Live { upto: u64, bytes: u64 },
}

/// Counts what came since the last offer, what is appended and what is durable.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    frames: u64,
    frame_bytes: u64,
    live_bytes: u64,
    entries: u64,
    sealed: Option<u64>,
    /// Jobs asked for, oldest first.
    asked: VecDeque<Taken>,
    /// Appended at a position, not yet durable.
    appended: VecDeque<(u64, Taken)>,
    durable: Ack,
    /// This node's journal is durable up to here. The word of that may come before the answer of the job that it is about.
    flushed: u64,
}

impl Receiving {
    pub(super) fn durable_bytes(&self) -> u64 {
        self.durable.frame_bytes
    }

    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    pub(super) fn staged(&mut self, position: u64) {
        self.answer(position);
    }

    pub(super) fn replicated(&mut self, position: u64) {
        self.answer(position);
    }

    fn answer(&mut self, position: u64) {
        let taken = self.asked.pop_front().expect("answers come in the order of the jobs");
        self.appended.push_back((position, taken));
    }

    /// The new ack, if more is durable than was acknowledged.
    fn newly_durable(&mut self) -> Option<Ack> {
        let before = self.durable;
        while let Some(&(appended, taken)) = self.appended.front()
            && appended <= self.flushed
        {
            self.appended.pop_front();
            match taken {
                Taken::Frame { number, bytes } => (self.durable.frames, self.durable.frame_bytes) = (number, bytes),
                Taken::Live { upto, bytes } => (self.durable.live, self.durable.live_bytes) = (upto, bytes),
            }
        }
        (self.durable != before).then_some(self.durable)
    }
}

impl Target {
    pub(super) fn on_frame(&mut self, message: FrameMessage) -> Result<(), SessionError> {
        let malformed = |why| SessionError::Malformed { message: "Frame", why };
        let expected = self.receiving.frames + 1;
        if message.number != expected {
            return Err(malformed("a number out of turn"));
        }
        if !message.drops.is_empty() {
            return Err(malformed("drops by id, which this version does not know"));
        }
        if self.comparing.is_some() {
            return Err(malformed("a comparison still under way"));
        }
        if self.reach.has_left(message.frame.fragment) {
            self.take_frame(&message);
            self.job(Job::Pass);
            return Ok(());
        }
        if message.frame.mode != Mode::Advance && !self.is_offered_above(&message.frame) {
            return Err(malformed("replacing under an epoch that is not above every one held here"));
        }
        self.take_frame(&message);
        let surplus = self.take_drop_keys(message.frame.fragment, &message.frame.range);
        let frame = if surplus.is_empty() { message.frame } else { with_absent(message.frame, &surplus)? };
        self.job(Job::Apply(frame));
        Ok(())
    }

    fn take_frame(&mut self, message: &FrameMessage) {
        self.receiving.frames = message.number;
        self.receiving.frame_bytes += frame_cost(message);
        self.receiving.entries += message.frame.entries.len() as u64;
        self.receiving.asked.push_back(Taken::Frame { number: message.number, bytes: self.receiving.frame_bytes });
    }

    /// Whether the frame's fragment is offered under an epoch that is above every one held where it lies, or anything under one that is
    /// above every one held at all.
    fn is_offered_above(&self, frame: &Frame) -> bool {
        let fragments = || self.offer.iter().flat_map(|offer| &offer.fragments);
        if fragments().map(|offered| offered.epochs.epoch()).max() > Some(self.epoch_max()) {
            return true;
        }
        let offered = fragments().find(|offered| offered.id == frame.fragment);
        let held = self.facts.values().filter(|facts| facts.range.intersect(&frame.range).is_some()).map(super::newest_epoch).max();
        offered.is_some_and(|offered| offered.epochs.epoch() > held.unwrap_or(0))
    }

    fn take_drop_keys(&mut self, fragment: FragmentId, range: &KeyRange) -> Vec<Bytes> {
        let Some(keys) = self.drop_keys.get_mut(&fragment) else { return Vec::new() };
        let start = keys.partition_point(|key| key < &range.start);
        let end = range.end.as_ref().map_or(keys.len(), |end| keys.partition_point(|key| key < end));
        keys.drain(start..end.max(start)).collect()
    }

    pub(super) fn on_seal(&mut self, mut seal: Seal) -> Result<(), SessionError> {
        seal.fragments.retain(|sealed| !self.reach.has_left(sealed.id));
        if seal.fragments.len() != self.haves.len() {
            return Err(SessionError::Malformed { message: "Seal", why: "other fragments than were offered" });
        }
        for sealed in &mut seal.fragments {
            // Floors of fragments that become parts of this one are kept by the stage, strand by strand.
            let own = self.facts.get(&sealed.id).map_or(Version::ZERO, |facts| facts.floor);
            // By comparing, no deletion behind the seal was learnt; by delta and copy, all that the source still knew.
            sealed.floor = if self.compared.contains(&sealed.id) { sealed.head } else { sealed.floor.max(own) };
        }
        self.receiving.sealed = Some(seal.position);
        self.phase = Phase::Installing;
        self.job(Job::Install(seal.fragments));
        Ok(())
    }

    pub(super) fn on_installed(&mut self) {
        let position = self.receiving.sealed.expect("installed behind a seal");
        let installed: Vec<FragmentId> = self.haves.iter().map(|have| have.id).collect();
        self.reach.add(&installed); // fragments may have new names since they were asked for
        self.stage = None;
        self.suspects.clear();
        self.drop_keys.clear();
        self.receiving.appended.clear(); // the install's own flush covered them
        self.send(Message::Ready(Ready { position }));
        self.enter_live();
    }

    pub(super) fn on_live(&mut self, live: Live) {
        self.receiving.live_bytes += live_cost(&live);
        self.receiving.asked.push_back(Taken::Live { upto: live.upto, bytes: self.receiving.live_bytes });
        let Live { records, mut epochs, mut checks, mut floors, reframe, .. } = live;
        let left: Vec<FragmentId> = self.leaving.iter().copied().collect();
        let stays = |id: FragmentId| !self.reach.has_left(id);
        epochs.retain(|(id, _)| stays(*id));
        checks.retain(|(id, ..)| stays(*id));
        floors.retain(|(id, _)| stays(*id));
        let scope = self.reach.scope().clone();
        self.job(Job::Replicate { records, epochs, checks, floors, reframe, scope, left });
    }

    pub(super) fn on_durable(&mut self, position: u64) {
        self.receiving.flushed = self.receiving.flushed.max(position);
        self.acknowledge();
    }

    /// Tells what is durable and was not told yet.
    pub(super) fn acknowledge(&mut self) {
        if let Some(ack) = self.receiving.newly_durable() {
            self.send(Message::Ack(ack));
        }
    }
}

/// The frame with a row "absent" for each surplus key that it does not list: what comparing found too much goes with the frame of its range.
fn with_absent(mut frame: Frame, surplus: &[Bytes]) -> Result<Frame, SessionError> {
    if frame.mode != Mode::ReplaceKeys {
        return Err(SessionError::Malformed { message: "Frame", why: "a mode that removes nothing, for a range that was compared" });
    }
    let mut rows = ColumnsBuilder::with_capacity(frame.entries.payload_bytes());
    let mut surplus = surplus.iter().peekable();
    let absent = |key| EntryRef { key, version: Version::ZERO, live: None };
    for entry in frame.entries.iter() {
        while let Some(key) = surplus.next_if(|key| &key[..] < entry.key) {
            rows.push(absent(key));
        }
        surplus.next_if(|key| &key[..] == entry.key);
        rows.push(entry);
    }
    surplus.for_each(|key| rows.push(absent(key)));
    frame.entries = rows.finish();
    Ok(frame)
}
