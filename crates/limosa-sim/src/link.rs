//! What is between two nodes: a path with its delay, width and blockades, and on it the bytes of a connection, in order, until it is cut.

use std::collections::VecDeque;

use bytes::Bytes;
use limosa_wire::codec::Context;
use limosa_wire::{Message, WireError, decode, encode};

use crate::random::Random;

/// Delay of a good path, one way, microseconds.
const LATENCY_US: u64 = 300;
/// Bytes that a good path takes in a millisecond: 1 Gb/s.
const BYTES_PER_MS: u64 = 125_000;

/// Which way a message goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// To the owner.
    ToSource,
    /// To the standby.
    ToTarget,
}

impl Way {
    fn index(self) -> usize {
        match self {
            Self::ToSource => 0,
            Self::ToTarget => 1,
        }
    }
}

/// A path between two nodes; connections come and go on it.
#[derive(Debug)]
pub(crate) struct Path {
    /// Delay one way, microseconds.
    latency_us: u64,
    /// Width, bytes in a millisecond.
    bytes_per_ms: u64,
    /// By way: nothing arrives before that, microseconds.
    held_until_us: [u64; 2],
    /// It is slow until then, microseconds.
    slow_until_us: u64,
}

impl Default for Path {
    fn default() -> Self {
        Self { latency_us: LATENCY_US, bytes_per_ms: BYTES_PER_MS, held_until_us: [0; 2], slow_until_us: 0 }
    }
}

impl Path {
    /// Nothing goes this way before `until_us`: what is sent waits.
    pub(crate) fn hold(&mut self, way: Way, until_us: u64) {
        let held = &mut self.held_until_us[way.index()];
        *held = until_us.max(*held);
    }

    /// Slow and narrow until `until_us`.
    pub(crate) fn slow(&mut self, until_us: u64, random: &mut Random) {
        self.slow_until_us = until_us;
        self.latency_us = 5_000 + random.below(150_000);
        self.bytes_per_ms = 20 + random.below(2_000);
    }

    /// Until when no connection can be made: a handshake needs both ways.
    pub(crate) fn closed_until_us(&self) -> u64 {
        self.held_until_us[0].max(self.held_until_us[1])
    }

    /// As good as new.
    pub(crate) fn mend(&mut self) {
        *self = Self::default();
    }

    fn arrives_us(&mut self, now_us: u64, way: Way, bytes: usize, random: &mut Random) -> u64 {
        if self.slow_until_us != 0 && self.slow_until_us <= now_us {
            (self.latency_us, self.bytes_per_ms, self.slow_until_us) = (LATENCY_US, BYTES_PER_MS, 0);
        }
        let jitter = random.below(self.latency_us);
        let transfer = bytes as u64 * 1_000 / self.bytes_per_ms;
        now_us.max(self.held_until_us[way.index()]) + self.latency_us + jitter + transfer
    }
}

/// One direction of a connection.
#[derive(Debug)]
pub(crate) struct Lane {
    way: Way,
    on_the_way: VecDeque<(u64, Bytes)>,
    /// Bytes on the way.
    bytes: u64,
    /// What becomes of the next message.
    spoil: Option<Spoil>,
}

/// Damage on the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Spoil {
    /// One bit is another one.
    Flip,
    /// The end is missing.
    Truncate,
}

impl Lane {
    pub(crate) fn new(way: Way) -> Self {
        Self { way, on_the_way: VecDeque::new(), bytes: 0, spoil: None }
    }

    /// Sends a message; it arrives behind those before it.
    pub(crate) fn send(&mut self, now_us: u64, message: &Message, path: &mut Path, random: &mut Random) -> Result<(), WireError> {
        let bytes = encode(message, &Context::default())?.to_bytes();
        let behind = self.on_the_way.back().map_or(0, |(at, _)| *at);
        let at = path.arrives_us(now_us, self.way, bytes.len(), random).max(behind);
        self.bytes += bytes.len() as u64;
        let bytes = self.spoil.take().map_or(bytes.clone(), |spoil| spoiled(&bytes, spoil, random));
        self.on_the_way.push_back((at, bytes));
        Ok(())
    }

    /// When the next message arrives, microseconds.
    pub(crate) fn next_at(&self) -> Option<u64> {
        self.on_the_way.front().map(|(at, _)| *at)
    }

    /// The next message, if its bytes are what was sent.
    pub(crate) fn receive(&mut self) -> Option<Result<Message, WireError>> {
        let (_, bytes) = self.on_the_way.pop_front()?;
        self.bytes = self.bytes.saturating_sub(bytes.len() as u64);
        Some(decode(bytes).map(|(message, _)| message))
    }

    /// Bytes on their way.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next message arrives damaged.
    pub(crate) fn spoil_next(&mut self, spoil: Spoil) {
        self.spoil = Some(spoil);
    }

    /// Holds everything back until `until_us`.
    pub(crate) fn hold(&mut self, until_us: u64) {
        for (at, _) in &mut self.on_the_way {
            *at = (*at).max(until_us);
        }
    }
}

fn spoiled(bytes: &Bytes, spoil: Spoil, random: &mut Random) -> Bytes {
    let mut spoiled = bytes.to_vec();
    let at = random.index(spoiled.len());
    match spoil {
        Spoil::Flip => spoiled[at] ^= 1 << random.below(8),
        Spoil::Truncate => spoiled.truncate(at),
    }
    spoiled.into()
}
