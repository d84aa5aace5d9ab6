//! Who owns which fragment, as one node sees it and acts on it: starting, leases, standbys, moves, failover.
//!
//! Sans-IO: one machine for each node and all its fragments, [`Event`]s in, [`Action`]s out, time as an argument. What is true is in the
//! manifest's cells; the machine never acts on what it sent, only on what a cell says. So it has little memory to lose: a restart begins
//! with the cells and with what the store holds.

mod action;
mod config;
mod event;
mod report;

pub use action::{Action, Change, Count, Gate, Job};
pub use config::{Config, Failover, HeldFragment};
pub use event::{Event, NodeState, Order, Outcome, SeenCell, Session};
pub use report::{Blocked, MoveError, MoveView, Phase, Report, Standing};
