//! `limosa demo`: a real owner and a real standby, seven ways of losing touch, and what it cost to agree again; then three nodes, whose
//! fragments change hands while clients work.
//!
//! ```text
//! Options > load > scene 1 .. 7: part, change, meet again > measure > compare both ends > table and report
//!         > load > scene 8 .. 11 (`trio`): move, move back, kill, return > measure > compare every copy > the same
//! ```
//! Nothing that judges is taken from what is judged: what changed comes from the demo's own [`model`], whether both ends
//! are equal from reading every entry of both over RESP. From the nodes come only their socket counters and what they did.
//!
//! # Not here
//! - What a node does: `limosa serve`, which the demo starts as processes of their own.

mod args;
mod background;
mod children;
mod compare;
mod content;
mod control;
mod error;
mod fact;
mod folder;
mod input;
mod model;
mod node;
mod pen;
mod play;
mod ports;
mod quarantine;
mod random;
mod relay;
mod report;
mod resp;
mod run;
mod scenes;
mod screen;
mod sent_again;
mod trio;
mod wait;
mod writer;

pub(crate) use args::DemoArgs;
pub(crate) use error::DemoError;
pub(crate) use run::run;
