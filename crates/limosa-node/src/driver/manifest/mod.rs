//! A member's side of the manifest: how it is reached, what is seen of it, that this node is there, and changes of cells.
//!
//! # Invariants
//! - What this node acts on went through [`Board::learn`](super::cluster): the newest revision of a cell wins, whoever told of it.
//! - A manifest that does not answer is said so in the view; owners go on.

mod changes;
mod lookout;
mod open;
mod register;

pub(super) use changes::{Outcome, Wish, change};
pub(super) use lookout::{apply_to_nodes, watch};
pub(super) use open::{FILE, embedded, store};
pub(super) use register::register;
