//! This node as a member of a cluster, as the front doors see it: who owns what, what waits, what is acknowledged, and orders.
//!
//! | Question | Answer |
//! |---|---|
//! | Who owns which fragment, who is there? | [`Cluster::cells`], [`Cluster::nodes`], [`Cluster::changed`] |
//! | May a command on this fragment run here? | [`Cluster::standing`] |
//! | May its reply leave? | [`Cluster::acked`], [`Cluster::progress`], [`Cluster::may_read`] |
//! | What moves, and how far is it? | [`Cluster::moves`] |
//! | How is something moved? | [`Cluster::order`] |
//!
//! # Not here
//! - The decisions: the ownership machine. Carrying them out: the ownership driver.

mod acks;
mod board;
mod frames;
mod handle;
mod learn;
mod options;
mod order;
mod reframe;
mod roster;
mod standing;
mod stints;

pub use acks::{AckLevel, Acked};
pub(super) use board::{Asked, Board};
pub use board::{MoveEnd, MoveStatus, NodeFacts, View};
pub use frames::frames;
pub use handle::Cluster;
pub use options::{Addresses, Failover, ManifestAt, MemberOptions};
pub use order::{Order, OrderError, Ordered};
pub use standing::Standing;
