//! Who owns which fragment, as one node sees it and acts on it: starting, leases, standbys, moves, failover.
//!
//! Sans-IO: one machine for each node and all its fragments, [`Event`]s in, [`Action`]s out, time as an argument. What is true is in the
//! manifest's cells; the machine never acts on what it sent, only on what a cell says. So it has little memory to lose: a restart begins
//! with the cells and with what the store holds.
//!
//! | Concern | File |
//! |---|---|
//! | one fragment's facts, and whose part this node plays | `seat` |
//! | wishes to change a cell, and doubts about their outcome | `changing` |
//! | the owner: epoch row, lease, gate, who counts | `owning` |
//! | the member's answer to a beat | `lender` |
//! | assign, join, require, let go | `members`, `placing` |
//! | whom a standby follows, what it gives up | `following` |
//! | a move: queue, copy, last step, under heavy writes | `moving`, `cutover`, `converge` |
//! | silence, fence, collection, promotion | `suspect`, `rescue` |
//! | splits and merges | `reframing` |
//! | operators' orders | `orders` |
//!
//! # Invariants
//! Those of the files, and together: at most one node serves a fragment at any instant where leases hold; no acknowledged version is lost
//! but by an operator's explicit word; no version is given twice. `tests` walks them over every crash point.

mod action;
mod changing;
mod config;
mod converge;
mod cutover;
mod event;
mod following;
mod lender;
mod machine;
mod members;
mod moving;
mod orders;
mod owning;
mod placing;
mod reframing;
mod report;
mod rescue;
mod seat;
mod shared;
mod step;
mod suspect;
#[cfg(test)]
mod tests;

pub use action::{Action, Change, Count, Gate, Job, Reframe};
pub use config::{Config, Failover, HeldFragment};
pub use event::{Event, Made, NodeState, Order, Outcome, Reframing, SeenCell, Session};
pub use machine::Ownership;
pub use report::{Blocked, MoveError, MoveView, Phase, ReframeError, Report, Standing};
pub use step::{Step, Wish};
