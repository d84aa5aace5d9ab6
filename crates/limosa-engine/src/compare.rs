//! The two ends of a comparison by symbols: the target tells, the source listens and decodes.
//!
//! The listener asks for about a third more symbols each time until it can decode; where the symbols would cost more than the plain ids of
//! all things, it asks for those instead.

use std::collections::HashSet;

use bytes::Bytes;
use limosa_core::iblt::{Decoder, Encoder, IbltError};
use limosa_wire::{Differ, Level, Symbols};

use crate::error::SessionError;

/// `first` of a [`Symbols`] message that carries plain 8-byte ids, little-endian.
pub const PLAIN_IDS: u64 = u64::MAX;
/// Symbols in the first message: enough for about sixty differences, 1.3 KB.
pub const FIRST_SYMBOLS: u64 = 96;
/// About what one symbol costs, bytes.
const SYMBOL_BYTES: u64 = 13;
/// Most symbols in one message.
const SYMBOLS_MAX: u64 = 65_536;
/// Most plain ids in one message.
const PLAIN_IDS_MAX: usize = 131_072;

/// Describes a set of ids.
#[derive(Debug)]
pub struct Teller {
    level: Level,
    ids: Vec<u64>,
    encoder: Encoder,
    told: u64,
}

impl Teller {
    /// Will describe `ids`, which are distinct but for collisions; a collision only makes the comparison miss, which the digest then finds.
    pub fn new(level: Level, mut ids: Vec<u64>, salt: u64) -> Self {
        ids.sort_unstable();
        ids.dedup();
        Self { level, encoder: Encoder::new(ids.iter().copied(), salt), ids, told: 0 }
    }

    /// What is described.
    pub fn level(&self) -> Level {
        self.level
    }

    /// The next `count` symbols, from index `first`.
    ///
    /// # Errors
    /// The listener asks for symbols out of turn or for too many.
    pub fn more(&mut self, first: u64, count: u64) -> Result<Symbols, SessionError> {
        if first != self.told || count == 0 || count > SYMBOLS_MAX {
            return Err(SessionError::Malformed { message: "Differ", why: "symbols out of turn, or too many" });
        }
        let symbols = self.encoder.encoded(usize::try_from(count).expect("bounded above"));
        self.told += count;
        Ok(Symbols { level: self.level, first, total: self.ids.len() as u64, symbols: Bytes::from(symbols) })
    }

    /// All ids as they are.
    pub fn plain(&self) -> Vec<Symbols> {
        let message = |ids: &[u64]| Symbols {
            level: self.level,
            first: PLAIN_IDS,
            total: self.ids.len() as u64,
            symbols: ids.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<u8>>().into(),
        };
        if self.ids.is_empty() { vec![message(&[])] } else { self.ids.chunks(PLAIN_IDS_MAX).map(message).collect() }
    }
}

/// What a listener makes of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// More plain ids are on their way.
    Wait,
    /// To be sent.
    Ask(Differ),
    /// The difference.
    Found {
        /// Ids that only this end has.
        local_only: Vec<u64>,
        /// Ids that only the other end has.
        remote_only: Vec<u64>,
    },
}

/// Finds the difference between its own ids and those it is told of.
#[derive(Debug)]
pub struct Listener {
    level: Level,
    local: Vec<u64>,
    decoder: Decoder,
    heard: u64,
    plain: Option<Vec<u64>>,
}

impl Listener {
    /// Compares with `local`.
    pub fn new(level: Level, mut local: Vec<u64>, salt: u64) -> Self {
        local.sort_unstable();
        local.dedup();
        Self { level, decoder: Decoder::new(local.iter().copied(), salt), local, heard: 0, plain: None }
    }

    /// What is compared.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Takes one message.
    ///
    /// # Errors
    /// The message is of another level, out of turn, or not what symbols look like.
    pub fn hear(&mut self, message: &Symbols) -> Result<Heard, SessionError> {
        let malformed = |why| SessionError::Malformed { message: "Symbols", why };
        if message.level != self.level {
            return Err(malformed("another level than is compared"));
        }
        if message.first == PLAIN_IDS {
            return self.hear_plain(message);
        }
        if message.first != self.heard || self.plain.is_some() {
            return Err(malformed("an index out of turn"));
        }
        let finished = self.decoder.add_encoded(message.first, message.total, &message.symbols);
        let finished = match finished {
            Ok(finished) => finished,
            Err(IbltError::Inconsistent { .. } | IbltError::Hopeless { .. }) => return Ok(Heard::Ask(self.ask_for_list())),
            Err(_) => return Err(malformed("bytes that are not symbols of the set")),
        };
        self.heard = self.decoder.received();
        if finished {
            return Ok(Heard::Found { local_only: self.decoder.local_only(), remote_only: self.decoder.remote_only() });
        }
        Ok(Heard::Ask(self.ask(message.total)))
    }

    fn ask(&mut self, total: u64) -> Differ {
        if self.heard * SYMBOL_BYTES > total * 8 {
            return self.ask_for_list();
        }
        let count = (self.decoder.wanted() as u64).clamp(16, SYMBOLS_MAX);
        Differ::More { level: self.level, first: self.heard, count }
    }

    fn ask_for_list(&mut self) -> Differ {
        self.plain = Some(Vec::new());
        Differ::List { level: self.level }
    }

    fn hear_plain(&mut self, message: &Symbols) -> Result<Heard, SessionError> {
        let malformed = |why| SessionError::Malformed { message: "Symbols", why };
        let plain = self.plain.as_mut().ok_or_else(|| malformed("plain ids that were not asked for"))?;
        let (ids, rest) = message.symbols.as_chunks::<8>();
        if !rest.is_empty() || plain.len() as u64 + ids.len() as u64 > message.total || (ids.is_empty() && message.total > 0) {
            return Err(malformed("ids that do not add up"));
        }
        plain.extend(ids.iter().map(|id| u64::from_le_bytes(*id)));
        if (plain.len() as u64) < message.total {
            return Ok(Heard::Wait);
        }
        let remote: HashSet<u64> = plain.iter().copied().collect();
        let local: HashSet<u64> = self.local.iter().copied().collect();
        let mut local_only: Vec<u64> = local.difference(&remote).copied().collect();
        let mut remote_only: Vec<u64> = remote.difference(&local).copied().collect();
        local_only.sort_unstable();
        remote_only.sort_unstable();
        Ok(Heard::Found { local_only, remote_only })
    }
}
