//! Joins engine, store and sockets into a running node. Everything that decides is in the engine; everything that lasts is in the store.
//!
//! | Task or thread | Does |
//! |---|---|
//! | accept task | takes peers, a session task for each |
//! | member tasks | while this node is of a cluster: manifest, control lanes |
//! | follower task | while this node is a standby: dials its owner, a session at a time |
//! | session task | messages and answers into a machine, its actions out |
//! | reader and writer task of a connection | TLS, encoding and decoding |
//! | job thread of a session | extraction or staging; on a target another one flushes behind it |
//! | pulse thread, checkpoint thread | flush, sync, expiry; checkpoints |
//! | house thread | frees what was cut out, collects deletions that no standby needs |

pub mod cluster;
mod control;
mod durable;
mod follower;
mod follows;
mod house;
mod jobs;
mod link;
mod manifest;
mod member;
mod node;
mod on_the_way;
mod ownership;
mod patience;
mod permit;
mod pulse;
mod registry;
mod repairing;
mod role;
mod scrub;
mod session_end;
mod session_table;
mod source_session;
mod target_jobs;
mod target_session;
mod totals;
mod transfer_log;
mod warm;

pub use limosa_engine::plan::Alternative;
pub use limosa_wire::{Method, PlanItem};
pub use node::{Node, NodeOptions, RoleError};
pub use ownership::InitError;
pub use registry::{PeerRole, PeerStatus, Registry, TransferKind, TransferRecord};
pub use role::Role;
pub use scrub::{ScrubError, ScrubReport};
pub use session_end::SessionEnd;
pub use totals::{MethodTotals, Totals};
