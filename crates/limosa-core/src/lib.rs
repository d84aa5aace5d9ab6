//! Values and rules that every part of Limosa shares. No file, socket, thread, clock or source of randomness is touched here.
//!
//! | Question | Module |
//! |---|---|
//! | When was this written? | [`version`], [`epoch`], [`history`] |
//! | Where does it belong? | [`slot`], [`key`], [`range`], [`fragment`] |
//! | What was written? | [`entry`], [`columns`], [`commit`] |
//! | Is it the same? | [`digest`], [`iblt`] |
//! | What travels? | [`frame`], [`intervals`] |
//! | Who is it? | [`name`] |
//! | Who owns a fragment, and which changes of that are legal? | [`cell`] |
//! | How much is allowed? | [`limits`] |

pub mod cell;
pub mod columns;
pub mod commit;
pub mod digest;
pub mod entry;
pub mod epoch;
pub mod error;
pub mod fragment;
pub mod frame;
#[doc(hidden)]
pub mod fuzzing;
pub mod history;
pub mod iblt;
pub mod intervals;
pub mod key;
pub mod limits;
mod many;
pub mod name;
pub mod planted;
pub mod range;
pub mod scope;
pub mod slot;
pub mod varint;
pub mod version;

pub use cell::{FragmentCell, Intent};
pub use columns::Columns;
pub use commit::{Commit, Part};
pub use digest::{Digest, SpaceKeys};
pub use entry::{EntryRef, Expiry, Kind, LiveRef};
pub use epoch::{EpochRow, EpochTable};
pub use error::{DecodeError, Retry};
pub use fragment::{FragmentFacts, FragmentId};
pub use frame::{Frame, Mode};
pub use history::{History, Strand};
pub use intervals::IntervalMap;
pub use name::NodeName;
pub use range::{KeyRange, RangeDelete};
pub use scope::Scope;
pub use version::Version;
