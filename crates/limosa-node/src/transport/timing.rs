//! Every time limit and buffer size of a connection, in one place, with the reason for each.

use std::time::Duration;

/// For a TCP connection to come about. Longer than any round trip, shorter than a person's patience with `limosa status`.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For the TLS handshake after it: two round trips and two signatures. Whoever stalls here is not authenticated yet.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A peer from which no byte came for this long is gone: its machine lost power, or the network in between.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// A sender that was silent for this long sends a ping: several may be lost to a stall before the other end gives up.
pub const PING_EVERY: Duration = Duration::from_secs(5);
/// A peer that took no byte for this long is gone or stuck; what it lacks is sent again on the next connection.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// For the farewell of a connection that is closed anyway.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes read from the socket at once. TLS alone would read 4 KiB each time: more than twice the CPU of a bulk receiver
/// (`examples/tls_copy.rs`; 64 KiB lies in between).
pub const READ_BUFFER_BYTES: usize = 256 << 10;
/// Encrypted bytes that TLS may hold before the socket takes them: one large vectored write for several records.
pub const WRITE_BUFFER_BYTES: usize = 256 << 10;
/// Queued messages are sent without being asked when they exceed this.
pub const SEND_QUEUE_BYTES: usize = 256 << 10;

const _: () = assert!(PING_EVERY.as_secs() * 3 <= IDLE_TIMEOUT.as_secs());
const _: () = assert!(PING_EVERY.as_secs() * 3 <= WRITE_TIMEOUT.as_secs());
