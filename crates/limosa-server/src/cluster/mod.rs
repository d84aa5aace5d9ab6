//! Planning over a cluster: pure functions from what is known of cells and nodes to what an operation would do.
//!
//! # Not here
//! - Asking the cluster and carrying plans out: `crate::server`.

pub(crate) mod id;
