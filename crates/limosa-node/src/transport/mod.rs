//! Connections between nodes: TLS 1.3 with certificates at both ends, counted, bounded, with an end to silence.
//!
//! ```text
//! Sender   Receiver      messages (limosa-wire), queues, timeouts
//!     TlsStream          rustls; verify: chain, validity, cluster
//!   CountingStream       bytes of the socket, large reads
//!     TcpStream
//! ```
//!
//! # Not here
//! - Which message follows which: the engine. Whether the name in Hello is the certificate's: the driver, with [`Connection::peer_name`].
//! - HTTP itself: the server crate, over a [`ControlStream`].

mod backoff;
mod connection;
mod control;
mod counting;
mod cpu;
mod failure;
mod live_pair;
mod receiver;
mod sender;
#[cfg(test)]
mod tests;
pub mod timing;
mod tls;
mod verify;

pub use backoff::{BACKOFF_MAX, BACKOFF_MIN, Backoff};
pub use connection::Connection;
pub use control::{Caller, ControlStream, connect_control, sniff};
pub use counting::{Counters, CountingStream};
pub use cpu::CpuSeconds;
pub(crate) use cpu::Stage;
pub use receiver::{Received, Receiver};
pub use sender::Sender;
pub(crate) use tls::Purpose;
pub use tls::Tls;
