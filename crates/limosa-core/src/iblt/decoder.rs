//! Reads the difference of two sets off the symbols of one and the ids of the other.

use std::collections::BTreeSet;

use thiserror::Error;

use super::encoder::{Encoder, window_end};
use super::mapping::Member;
use super::symbol::{self, Symbol};
use crate::error::{DecodeError, Retry};

/// Symbols to ask for first: they settle a difference of about ten ids, and estimate a larger one.
const FIRST_SYMBOLS: u64 = 32;
/// Symbols beyond three for each id of both ends before decoding is given up: two ids that share that many symbols are not honest.
const SYMBOLS_SPARE: u64 = 256;

/// Why a decoder gives up. The peer's symbols are to blame, or chance (see the [module](super)).
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum IbltError {
    /// The bytes are not symbols.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Symbols are missing, or came twice.
    #[error("symbols from index {found} came where those from {expected} were due")]
    OutOfOrder {
        /// Index due.
        expected: u64,
        /// Index of the first symbol that came.
        found: u64,
    },
    /// The ids found do not explain the symbols.
    #[error("after {received} symbols the {recovered} ids found contradict them")]
    Inconsistent {
        /// Symbols so far.
        received: u64,
        /// Ids found so far.
        recovered: u64,
    },
    /// More symbols than any difference of these two sets needs.
    #[error("{received} symbols did not settle a difference of at most {differences_max} ids")]
    Hopeless {
        /// Symbols with those that were to be added.
        received: u64,
        /// Ids of both ends together.
        differences_max: u64,
    },
}

impl IbltError {
    /// The stable code of `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Decode(_) => "reconcile.bad_symbols",
            Self::OutOfOrder { .. } => "reconcile.symbols_out_of_order",
            Self::Inconsistent { .. } => "reconcile.inconsistent",
            Self::Hopeless { .. } => "reconcile.hopeless",
        }
    }

    /// A new session has a new salt, so that chance does not strike twice.
    pub fn retry(&self) -> Retry {
        Retry::AfterResync
    }
}

/// The ids of this end, and what the symbols of the other end say about the difference.
#[derive(Debug)]
pub struct Decoder {
    local: Encoder,
    /// Difference of the ends, less what was found. Behind `received` only what was found has been taken out yet.
    cells: Vec<Symbol>,
    received: usize,
    remote_total: u64,
    found: Vec<(Member, i64)>,
    found_local: Vec<bool>,
    found_remote: BTreeSet<u64>,
    estimate: Estimate,
    finished: bool,
    salt: u64,
}

impl Decoder {
    /// A decoder of this end's `ids` (as a set), with the salt that the other end's encoder has.
    pub fn new(ids: impl IntoIterator<Item = u64>, salt: u64) -> Self {
        let local = Encoder::new(ids, salt);
        let found_local = vec![false; local.set_len()];
        Self {
            local,
            cells: Vec::new(),
            received: 0,
            remote_total: 0,
            found: Vec::new(),
            found_local,
            found_remote: BTreeSet::new(),
            estimate: Estimate::default(),
            finished: false,
            salt,
        }
    }

    /// Adds a message's symbols: of a set of `total` ids, from index `first` on.
    ///
    /// # Errors
    /// If the bytes are not the symbols due, and those of [`Decoder::add`].
    pub fn add_encoded(&mut self, first: u64, total: u64, bytes: &[u8]) -> Result<bool, IbltError> {
        if first != self.received() && !self.finished {
            return Err(IbltError::OutOfOrder { expected: self.received(), found: first });
        }
        self.add(&symbol::decode(bytes, first, total)?)
    }

    /// Adds the next symbols of the other end; true when the difference is known. Symbols behind that are ignored.
    ///
    /// # Errors
    /// [`IbltError::Inconsistent`] and [`IbltError::Hopeless`]: start again with another salt, or compare plain lists.
    pub fn add(&mut self, symbols: &[Symbol]) -> Result<bool, IbltError> {
        if self.finished || symbols.is_empty() {
            return Ok(self.finished);
        }
        if self.received == 0 {
            self.remote_total = symbols[0].count().unsigned_abs(); // symbol 0 holds every id
        }
        self.check_room(symbols.len())?;
        let first = self.received;
        self.subtract_local(symbols);
        self.peel((first..self.received).collect())?;
        self.finish()
    }

    /// Whether the difference is known.
    pub fn finished(&self) -> bool {
        self.finished
    }

    /// Symbols added: the index of the next one.
    pub fn received(&self) -> u64 {
        self.received as u64
    }

    /// How many symbols to ask for next, from what the counts say about the size of the difference. At least one.
    #[allow(clippy::cast_possible_truncation)] // a target of 32 bits has no memory for more symbols either
    pub fn wanted(&self) -> usize {
        if self.received == 0 {
            return FIRST_SYMBOLS as usize;
        }
        let needed = self.estimate.differences() * 7 / 5; // 1.35 symbols for a difference, and a little for its noise
        let least = self.received().div_ceil(8).max(8);
        needed.saturating_sub(self.received()).clamp(least, 4 * self.received() + 4096) as usize
    }

    /// About how many ids differ, found or not. Zero before symbols were added.
    pub fn estimate(&self) -> u64 {
        self.estimate.differences()
    }

    /// Ids that only this end has, in ascending order: all of them once [`Decoder::finished`].
    pub fn local_only(&self) -> Vec<u64> {
        let mut ids: Vec<u64> = self.found.iter().filter(|(_, side)| *side < 0).map(|(member, _)| member.id).collect();
        ids.sort_unstable();
        ids
    }

    /// Ids that only the other end has, in ascending order: all of them once [`Decoder::finished`].
    pub fn remote_only(&self) -> Vec<u64> {
        self.found_remote.iter().copied().collect()
    }

    fn check_room(&self, more: usize) -> Result<(), IbltError> {
        let differences_max = self.local.total().saturating_add(self.remote_total);
        let received = self.received() + more as u64;
        if received > differences_max.saturating_mul(3).saturating_add(SYMBOLS_SPARE) {
            return Err(IbltError::Hopeless { received, differences_max });
        }
        Ok(())
    }

    fn subtract_local(&mut self, symbols: &[Symbol]) {
        let (first, end) = (self.received, self.received + symbols.len());
        if end > self.cells.len() {
            self.cells.resize(window_end(end), Symbol::ZERO);
            self.found.iter_mut().for_each(|(member, side)| member.cover(&mut self.cells, -*side));
        }
        for (offset, (remote, local)) in symbols.iter().zip(self.local.symbols(symbols.len())).enumerate() {
            self.estimate.add(first + offset, remote.count() - local.count());
            self.cells[first + offset].add_difference(remote, local);
        }
        self.received = end;
    }

    /// Takes pure symbols out until none is left.
    fn peel(&mut self, mut candidates: Vec<usize>) -> Result<(), IbltError> {
        while let Some(index) = candidates.pop() {
            let Some((member, side)) = self.pure(index) else { continue };
            if self.found.len() >= self.received {
                return Err(self.inconsistent());
            }
            self.take_out(member, side, &mut candidates);
        }
        Ok(())
    }

    /// The single id of a symbol and the end that has it (1: the other end, -1: this one), if it can be one.
    fn pure(&self, index: usize) -> Option<(Member, i64)> {
        let cell = &self.cells[index];
        if cell.count().abs() != 1 {
            return None;
        }
        let member = Member::new(cell.id(), self.salt);
        let rank = self.local.rank(member.id);
        let possible = match (cell.count(), rank) {
            (1, None) => !self.found_remote.contains(&member.id),
            (-1, Some(rank)) => !self.found_local[rank],
            _ => false,
        };
        (possible && member.check == cell.check()).then_some((member, cell.count()))
    }

    fn take_out(&mut self, mut member: Member, side: i64, candidates: &mut Vec<usize>) {
        if side > 0 {
            self.found_remote.insert(member.id);
        } else {
            let rank = self.local.rank(member.id).expect("checked when the symbol was found pure");
            self.found_local[rank] = true;
        }
        let received = self.received;
        member.cover_each(&mut self.cells, -side, |index, cell| {
            if index < received && cell.count().abs() == 1 {
                candidates.push(index);
            }
        });
        self.found.push((member, side));
    }

    fn finish(&mut self) -> Result<bool, IbltError> {
        if self.cells[0] != Symbol::ZERO {
            return Ok(false);
        }
        if self.cells[..self.received].iter().any(|cell| *cell != Symbol::ZERO) {
            return Err(self.inconsistent());
        }
        self.finished = true;
        Ok(true)
    }

    fn inconsistent(&self) -> IbltError {
        IbltError::Inconsistent { received: self.received(), recovered: self.found.len() as u64 }
    }
}

/// Estimates the size of the difference from counts alone.
///
/// With d ids in the difference, c₀ of them net, the count of symbol i has mean ρc₀ and variance dρ(1 − ρ), ρ = 1/(1 + i/2);
/// so d is about the mean of (cᵢ − ρc₀)² / ρ(1 − ρ). The relative error is about √(2/symbols).
#[derive(Clone, Copy, Debug, Default)]
struct Estimate {
    net: f64,
    sum: f64,
    terms: f64,
}

impl Estimate {
    #[allow(clippy::cast_precision_loss)] // an estimate
    fn add(&mut self, index: usize, count: i64) {
        if index == 0 {
            self.net = count as f64;
            return;
        }
        let density = 1.0 / (1.0 + index as f64 / 2.0);
        self.sum += (count as f64 - density * self.net).powi(2) / (density * (1.0 - density));
        self.terms += 1.0;
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a saturating cast is what is meant
    fn differences(&self) -> u64 {
        let net = self.net.abs();
        if self.terms > 0.0 { (self.sum / self.terms).max(net) as u64 } else { net as u64 }
    }
}
