//! The HTTP front door: `/v1` control, health and metrics.
//!
//! ```text
//! socket -> [`listen`]: who calls ([`Caller`](limosa_node::transport::Caller)) -> [`connection`]: HTTP/1.1 -> guard: Host, Origin, time -> routes -> [`Control`]
//! ```
//!
//! # Invariants
//! - A call that changes something, or shows stored values, needs a loopback socket or a client certificate: one `trusted` layer over those routes.
//! - A page from elsewhere can't reach it through a browser: Host and Origin are checked before routing.
//! - Every answer that is not a success is an [`api::ErrorBody`] with a stable code.
//!
//! # Not here
//! - What the calls do: whoever implements [`Control`].

pub mod api;
mod body;
mod connection;
mod control;
mod error;
mod guard;
mod listen;
mod operate;
mod routes;
mod routes_cluster;

pub use connection::serve_connection;
pub use control::{Answer, Control, ControlError, Turn};
pub use guard::Hosts;
pub use listen::{Admit, Sniff, listen};
pub use operate::Operate;
pub use routes::router;
