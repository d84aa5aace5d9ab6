//! Finds the difference of two sets of 64-bit ids at a cost that follows the difference, not the sets: a rateless IBLT.
//!
//! One end ([`Encoder`]) codes its set into an endless row of [`Symbol`]s; the other ([`Decoder`]) subtracts its own and reads the
//! difference off as soon as it has enough of them: about 1.35 to 1.75 symbols for each id that differs, without anybody knowing the
//! size of the difference beforehand. `cargo run --release -p limosa-core --example iblt_cost` prints symbols, bytes and CPU.
//!
//! Source: Yang, Gilad, Alizadeh, *Practical Rateless Set Reconciliation*, SIGCOMM 2024. Each id lies in symbol 0 and in symbol
//! i > 0 with probability 1/(1 + i/2). A symbol is the XOR of its ids, the XOR of their checks, and their count.
//! A symbol of the difference that holds a single id (count ±1 and a matching check) is *pure*: it names the id, which is then taken
//! out of every symbol that it lies in, which makes others pure.
//!
//! ```
//! use limosa_core::iblt::{Decoder, Encoder};
//! let mut encoder = Encoder::new([1, 2, 3, 4], 7);
//! let mut decoder = Decoder::new([2, 3, 4, 5], 7);
//! while !decoder.finished() {
//!     let count = decoder.wanted();
//!     decoder.add(encoder.symbols(count))?;
//! }
//! assert_eq!((decoder.remote_only(), decoder.local_only()), (vec![1], vec![5]));
//! # Ok::<(), limosa_core::iblt::IbltError>(())
//! ```
//!
//! # Duplicates
//! Both ends work on *sets*: an id that is given twice counts once. [`Encoder::total`] is the number of ids that count.
//!
//! # Wrong answers
//! Ids are outputs of a keyed PRF, so they look random to whoever has no key. A mix of several ids is taken for a pure symbol only if
//! its count is ±1, its 32-bit check fits by chance (2^-32) and the id may be there: what only we have must be among our ids, what only
//! the peer has must not be. That happens once in about 2^32 tries; a difference of 10,000 makes some 50,000 tries, so about once in
//! 10^5 such sessions. The false id then stays in the symbols, and to come out silently the wrong set would have to
//! cancel in symbol 0 (XOR of ids, XOR of checks and count: 2^-96) and in every other symbol received. So a false id ends in
//! [`IbltError::Inconsistent`] or [`IbltError::Hopeless`]; the session then uses a new salt or a plain list of ids. Whatever comes
//! out, the digests of the repaired ranges are compared before anything is installed.
//!
//! # Bounds
//! Every peel empties one received symbol for good, so the decoder refuses to recover more ids than it has symbols, and each costs
//! O(log symbols): work is bounded by the bytes received, also for hostile ones. Memory is 32 bytes an id, and 48 to 96 a symbol (windows double).
//!
//! # Not here
//! - What is an id, and when a plain list is cheaper: the engine. The message around the bytes: `limosa-wire`.
//! - An oracle: another implementation maps and checks ids in its own way, so only the sets that come out could be compared, and a
//!   `BTreeSet` says that with no dependency. The paper's overhead figures are the oracle for the mapping.

mod decoder;
mod encoder;
mod mapping;
mod symbol;
#[cfg(test)]
mod tests;

pub use decoder::{Decoder, IbltError};
pub use encoder::Encoder;
pub use symbol::{SYMBOL_BYTES_MAX, SYMBOL_BYTES_MIN, Symbol, TOTAL_MAX, decode, encode};
