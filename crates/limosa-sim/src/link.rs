//! A connection: bytes of messages in order, each way with a delay, until it is cut.

use std::collections::VecDeque;

use bytes::Bytes;
use limosa_wire::codec::Context;
use limosa_wire::{Message, WireError, decode, encode};

use crate::random::Random;

/// Longest delay of a message, milliseconds.
const DELAY_MS_MAX: u64 = 30;

/// One direction.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    on_the_way: VecDeque<(u64, Bytes)>,
}

impl Lane {
    /// Sends a message; it arrives behind those before it.
    pub(crate) fn send(&mut self, now_ms: u64, message: &Message, random: &mut Random) -> Result<(), WireError> {
        let bytes = encode(message, &Context::default())?.to_bytes();
        let behind = self.on_the_way.back().map_or(0, |(at, _)| *at);
        self.on_the_way.push_back(((now_ms + random.below(DELAY_MS_MAX)).max(behind), bytes));
        Ok(())
    }

    /// When the next message arrives.
    pub(crate) fn next_at(&self) -> Option<u64> {
        self.on_the_way.front().map(|(at, _)| *at)
    }

    /// The next message, if its bytes are what was sent.
    pub(crate) fn receive(&mut self) -> Option<Result<Message, WireError>> {
        let (_, bytes) = self.on_the_way.pop_front()?;
        Some(decode(bytes).map(|(message, _)| message))
    }

    /// Flips a bit of something on its way; false when nothing is.
    pub(crate) fn flip(&mut self, random: &mut Random) -> bool {
        let Some((_, bytes)) = self.on_the_way.back_mut() else { return false };
        let mut flipped = bytes.to_vec();
        let at = random.index(flipped.len());
        flipped[at] ^= 1 << random.below(8);
        *bytes = flipped.into();
        true
    }

    /// Holds everything back until `until_ms`.
    pub(crate) fn freeze(&mut self, until_ms: u64) {
        for (at, _) in &mut self.on_the_way {
            *at = (*at).max(until_ms);
        }
    }
}
