//! Limits of the HTTP door.

use std::time::Duration;

/// Most connections at once; more wait in the listener's queue.
pub(super) const CONNECTIONS_MAX: usize = 256;
/// Most bytes of a request body: the largest one is an address.
pub(super) const BODY_BYTES_MAX: usize = 16 << 10;
/// Most bytes of a request's line and headers.
pub(super) const HEAD_BYTES_MAX: usize = 32 << 10;
/// Longest time for a request's line and headers, and for a connection without a request.
pub(super) const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// Longest time for an answer that only reads.
pub(super) const READ_TIME_MAX: Duration = Duration::from_secs(10);
/// Longest time for an answer that changes or checks something: a checkpoint or scrub reads and writes a lot.
pub const CHANGE_TIME_MAX: Duration = Duration::from_secs(300);
/// Most records in one page of a quarantine file.
pub(super) const PAGE_RECORDS_MAX: u64 = 1_000;

const _: () = assert!(BODY_BYTES_MAX < limosa_core::limits::COMMAND_BYTES_MAX);
const _: () = assert!(READ_TIME_MAX.as_secs() <= CHANGE_TIME_MAX.as_secs());
