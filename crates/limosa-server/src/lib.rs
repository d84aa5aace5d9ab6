//! The front doors of a node: RESP for clients, HTTP for operators; their configuration and metrics.

mod cluster;
pub mod config;
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
pub mod metrics;
pub mod resp;
pub mod server;

pub use server::ServerError;
