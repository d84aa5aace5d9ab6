//! The contract between the two ends of a transfer: messages, their bytes, limits and negotiation.
#![warn(clippy::pedantic)]
#![allow(clippy::module_name_repetitions)]

pub mod message;

pub use message::{
    Ack, Close, Differ, FrameMessage, Have, HaveFragment, Hello, Level, Live, Message, Method, Offer, OfferedFragment, Plan, PlanItem, Ready, Refusal, Refuse,
    Seal, SealedFragment, Symbols,
};
