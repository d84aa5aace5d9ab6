//! The contract between the two ends of a transfer: messages, their bytes, limits and negotiation.
//!
//! Normative text: `docs/contract.md`.
//!
//! | Question | Module |
//! |---|---|
//! | What can be said? | [`message`] |
//! | As which bytes? | [`codec`], [`header`]; protobuf envelopes in `proto/limosa.proto` |
//! | How do messages come out of a stream? | [`decoder`] |
//! | With which version and features? | [`negotiate`](mod@negotiate) |
//! | How much is allowed? | [`limits`] |
//! | How does a whole session look, for another implementation to be held to? | [`conversation`] |
//!
//! # Not here
//! - When to say what: the engine. Sockets and TLS: the node.
#![warn(clippy::pedantic)]
#![allow(clippy::module_name_repetitions, clippy::must_use_candidate)]

mod budget;
pub mod codec;
pub mod conversation;
mod convert;
pub mod decoder;
pub mod error;
#[doc(hidden)]
pub mod fuzzing;
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
#[rustfmt::skip]
mod generated;
pub mod header;
mod layout;
pub mod limits;
pub mod message;
pub mod negotiate;
mod section;

pub use codec::{Context, Encoded, decode, encode, encode_with};
pub use decoder::Decoder;
pub use error::WireError;
pub use header::message_length;
pub use message::{
    Ack, Close, Differ, Fetch, Fetched, FrameMessage, Greet, Have, HaveFragment, HavePart, Hello, Leave, Level, Live, Message, Method,
    MoveAt, Offer, OfferedFragment, OwnershipMessage, Plan, PlanItem, Purpose, Ready, Refusal, Refuse, Renewal, Seal, SealedFragment,
    Symbols,
};
pub use negotiate::{MAGIC, WIRE_VERSION, WIRE_VERSIONS, common_features, features, negotiate};
pub use section::Compression;
