//! Puts a node together from its configuration, and takes it apart again.
//!
//! ```text
//! ValidConfig -> Prepared: sockets bound, certificates loaded -> Store -> Node: role taken up -> peers, HTTP, RESP served
//! ```
//! What an operator can have got wrong is found before anything is served. Stopping goes the other way: clients first, so that whatever was
//! acknowledged is written; the store last.

mod cluster;
mod control;
mod doors;
mod error;
mod frames;
pub(crate) mod fuzzing;
mod inspect;
mod offline;
mod operate;
mod prepare;
mod quarantine;
mod reapply;
mod reframe;
mod refusal;
mod resp_node;
mod running;
mod verify;
mod views;

pub use doors::HttpDoor;
pub use error::ServerError;
pub use inspect::{BLOCK_BYTES, Filter, FolderStats};
pub use offline::{Checked, Offline, Rot};
pub use prepare::{Bound, Listeners, Prepared};
pub use running::{Server, Started};
