//! This node's cluster, for both front doors: gathered, planned over, and given orders.
//!
//! ```text
//! limosa_node::driver::cluster::Cluster ──> gather: World ──> crate::cluster::plan ──> carry: orders to owners, over HTTP where they are others
//!                                      └──> picture: who serves which slot, for RESP
//! ```

mod ask;
mod carry;
mod gather;
mod member;
mod movelog;
mod picture;
mod reframe;

pub(super) use member::{Member, blocked};
pub(super) use picture::RespCluster;
pub(super) use reframe::RISK;
