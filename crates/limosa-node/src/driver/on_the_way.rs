//! Knows what a source has sent and its target has not acknowledged, so that what is sent again after a cut is counted, not guessed.
//!
//! Messages are kept, not their entries: a clone shares the bytes, and only a cut pays for looking at each entry. What is kept is bounded
//! by the session's credits.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use limosa_core::varint::Reader;
use limosa_core::{Commit, EntryRef, FragmentId};
use limosa_wire::{Ack, FrameMessage, Live, Message};

/// Entries, as hashes of fragment, key and version.
pub(super) type Sent = HashSet<u64>;

/// What one session has on its way.
#[derive(Debug, Default)]
pub(super) struct OnTheWay {
    frames: VecDeque<FrameMessage>,
    live: VecDeque<Live>,
    /// Was on its way when an earlier session or offer ended.
    cut: Sent,
    /// An offer was sent and nothing has answered it: acks are about an earlier one.
    offered: bool,
}

impl OnTheWay {
    /// Begins behind sessions that left `cut` on its way.
    pub(super) fn new(cut: Sent) -> Self {
        Self { cut, ..Self::default() }
    }

    /// Takes note of a message that is being sent. Answers how many key and value bytes of it were on their way before.
    pub(super) fn sent(&mut self, message: &Message) -> u64 {
        match message {
            Message::Frame(frame) => {
                self.frames.push_back(frame.clone());
                self.again_in(message)
            }
            Message::Live(live) => {
                self.live.push_back(live.clone());
                self.again_in(message)
            }
            Message::Offer(offer) => {
                self.give_up();
                self.offered = !offer.equal;
                0
            }
            _ => 0,
        }
    }

    /// Takes note of a message that came.
    pub(super) fn received(&mut self, message: &Message) {
        match message {
            Message::Have(_) => self.offered = false,
            Message::Ack(ack) if !self.offered => self.acknowledged(*ack),
            _ => {}
        }
    }

    /// The target agrees: whatever was cut before has arrived, or was replaced.
    pub(super) fn agreed(&mut self) {
        self.cut = Sent::new();
    }

    /// What is left on its way when the session ends.
    pub(super) fn end(mut self) -> Sent {
        self.give_up();
        self.cut
    }

    fn acknowledged(&mut self, ack: Ack) {
        while self.frames.pop_front_if(|frame| frame.number <= ack.frames).is_some() {}
        while self.live.pop_front_if(|live| live.upto <= ack.live).is_some() {}
    }

    fn give_up(&mut self) {
        let mut cut = std::mem::take(&mut self.cut);
        for frame in self.frames.drain(..) {
            each_of_frame(&frame, |fragment, entry| _ = cut.insert(hash(fragment, entry)));
        }
        for live in self.live.drain(..) {
            each_of_live(&live, |fragment, entry| _ = cut.insert(hash(fragment, entry)));
        }
        self.cut = cut;
    }

    fn again_in(&self, message: &Message) -> u64 {
        if self.cut.is_empty() {
            return 0; // the usual case costs nothing
        }
        let mut bytes = 0;
        let mut count = |fragment, entry: EntryRef<'_>| {
            if self.cut.contains(&hash(fragment, entry)) {
                bytes += entry.payload_bytes() as u64;
            }
        };
        match message {
            Message::Frame(frame) => each_of_frame(frame, &mut count),
            Message::Live(live) => each_of_live(live, &mut count),
            _ => {}
        }
        bytes
    }
}

fn hash(fragment: FragmentId, entry: EntryRef<'_>) -> u64 {
    let mut hasher = DefaultHasher::new(); // fixed keys: a count may be off by a forged collision, nothing else
    (fragment.0, entry.key, entry.version.to_bytes()).hash(&mut hasher);
    hasher.finish()
}

fn each_of_frame(message: &FrameMessage, mut f: impl FnMut(FragmentId, EntryRef<'_>)) {
    message.frame.entries.iter().for_each(|entry| f(message.frame.fragment, entry));
}

fn each_of_live(live: &Live, mut f: impl FnMut(FragmentId, EntryRef<'_>)) {
    let mut reader = Reader::new(&live.records);
    while !reader.is_empty() {
        let record = reader.bytes_max("live.record", live.records.len()).expect("this node's own tail framed it");
        let commit = Commit::decode(&mut Reader::new(record)).expect("this node's own journal has it");
        for part in &commit.parts {
            part.entries.iter().for_each(|entry| f(part.fragment, *entry));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limosa_core::columns::ColumnsBuilder;
    use limosa_core::{Digest, Frame, KeyRange, Mode, Version};

    fn frame(number: u64, keys: &[&str]) -> Message {
        let mut rows = ColumnsBuilder::default();
        keys.iter().for_each(|key| rows.push(EntryRef { key: key.as_bytes(), version: Version::new(1, 7), live: None }));
        let frame = Frame {
            fragment: FragmentId(1),
            mode: Mode::Advance,
            range: KeyRange::ALL,
            from: Version::ZERO,
            to: Version::new(1, 9),
            range_deletes: Vec::new(),
            entries: rows.finish(),
            digest: Digest::ZERO,
        };
        Message::Frame(FrameMessage { number, drops: Vec::new(), frame })
    }

    #[test]
    fn what_was_acknowledged_is_not_counted_as_sent_again_and_the_rest_is_until_both_ends_agree() {
        let mut first = OnTheWay::default();
        assert_eq!(first.sent(&frame(1, &["a", "b"])) + first.sent(&frame(2, &["c", "dd"])), 0);
        first.received(&Message::Ack(Ack { frames: 1, ..Ack::default() }));
        let mut second = OnTheWay::new(first.end());
        assert_eq!(second.sent(&frame(1, &["a", "dd", "e"])), 2);
        let mut third = OnTheWay::new(second.end());
        assert_eq!(third.sent(&frame(1, &["a", "c"])), 2, "both cuts count");
        third.received(&Message::Ack(Ack { frames: 1, ..Ack::default() }));
        third.agreed();
        assert_eq!(third.sent(&frame(2, &["dd"])), 0);
    }
}
