//! Planning over a cluster: pure functions from what is known of cells and nodes to what an operation would do.
//!
//! ```text
//! World (cells, nodes, what was measured) ──> steps(operation) ──> OperationPlan ──> orders to the fragments' owners
//!                                        └──> safe::to_stop(node)
//! ```
//!
//! # Not here
//! - Asking the cluster and carrying plans out: `crate::server`.

pub(crate) mod id;
mod leaving;
mod placing;
mod plan;
mod rebalance;
pub(crate) mod safe;
#[cfg(test)]
mod tests;
mod world;

pub(crate) use plan::{Unplanned, plan};
pub(crate) use world::World;
