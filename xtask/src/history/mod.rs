//! Histories: what clients asked of a cluster, when, and what they were told; and two checkers that say whether one register a key explains it.
//!
//! A request whose answer never came, or that was answered with an error which leaves it open (`NOACK`), is *unknown*: it may have happened at any
//! time behind its sending, or never. [`register`] uses the versions of replies and takes millions of operations; [`linear`] needs none.

mod clients;
mod judge;
mod linear;
#[cfg(test)]
mod made;
mod operation;
mod probe;
mod register;

pub(crate) use clients::{Recording, Workload, read_all};
pub(crate) use judge::{Judged, judge};
pub(crate) use operation::Operation;
pub(crate) use probe::Probe;
