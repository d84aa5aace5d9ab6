//! Every limit of Limosa's formats and protocols, and the relations between them. The client port and the peer port share these.

use std::time::Duration;

/// Longest user key, bytes.
pub const USER_KEY_BYTES_MAX: usize = 64 << 10;
/// Longest stored key, bytes: slot, every byte of the user key escaped, terminator, tag and rest.
pub const STORED_KEY_BYTES_MAX: usize = 2 * USER_KEY_BYTES_MAX + 64;
/// Longest value held in one entry, bytes. Longer values lie in parts.
pub const WHOLE_VALUE_BYTES_MAX: usize = 16 << 10;
/// Longest value that an entry of a commit or frame may declare, bytes.
pub const ENTRY_VALUE_BYTES_MAX: usize = 64 << 10;
/// Longest value of a user's key, bytes, parts together. As Redis' `proto-max-bulk-len`.
pub const USER_VALUE_BYTES_MAX: usize = 512 << 20;
/// Shortest, average and longest part of a large value, bytes.
pub const PART_BYTES: (usize, usize, usize) = (512, 2 << 10, 16 << 10);
/// Most entries, and most range deletes, in one part of a commit.
pub const COMMIT_ENTRIES_MAX: u64 = 4 << 20;
/// Most fragments that one commit touches.
pub const COMMIT_PARTS_MAX: u64 = 16_384;
/// Most bytes of one commit's record.
pub const COMMIT_BYTES_MAX: usize = 1 << 30;

/// Payload of a frame when moving in bulk, bytes.
pub const FRAME_BYTES_BULK: usize = 1 << 20;
/// Payload of a frame when serving comes first, bytes.
pub const FRAME_BYTES_INTERACTIVE: usize = 64 << 10;
/// Most bytes of a decoded frame: one bulk frame, which may end with one entry too many.
pub const FRAME_BYTES_MAX: usize = FRAME_BYTES_BULK + ENTRY_VALUE_BYTES_MAX + STORED_KEY_BYTES_MAX + (64 << 10);
/// Most entries of a frame.
pub const FRAME_ENTRIES_MAX: u64 = 1 << 17;
/// Most bytes of one message on the wire, envelope and columns.
pub const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// Bytes that may be on their way to a target before it has them in its journal.
pub const CREDIT_WINDOW_BYTES: u64 = 6 << 20;
/// Most bytes that a cut transfer may send again: what was on its way.
pub const SENT_AGAIN_BYTES_MAX: u64 = 8 << 20;
/// Bytes of recent commits that an owner keeps in memory for its standbys (tier 1).
pub const RING_BYTES: usize = 4 << 20;
/// Most bytes of commits in one message of the live stream.
pub const LIVE_BATCH_BYTES: usize = 256 << 10;

/// Most arguments of one client command.
pub const COMMAND_ARGS_MAX: usize = 1 << 20;
/// Most bytes of one client command, all arguments together.
pub const COMMAND_BYTES_MAX: usize = USER_VALUE_BYTES_MAX + (64 << 20);
/// Bytes that the read buffers of all client connections may take together, beyond their first 16 KiB each.
pub const READ_BUFFERS_BYTES_MAX: usize = 1 << 30;
/// Most client connections of a node.
pub const CLIENTS_MAX: usize = 10_000;
/// Most client connections that wait for a cutover at one node, and bytes of their requests; more are told to try again.
pub const PARKED_CLIENTS_MAX: usize = 8_192;
/// See [`PARKED_CLIENTS_MAX`].
pub const PARKED_BYTES_MAX: usize = 256 << 20;
/// Most peer connections of a node.
pub const PEERS_MAX: usize = 64;
/// Most epoch rows of one fragment that a peer may send.
pub const EPOCH_ROWS_MAX: u64 = 65_536;
/// Most strands of one fragment: a merge that would give it more is refused.
pub const STRANDS_MAX: u64 = 16_384;
/// Most intervals of one fragment that a peer may send.
pub const INTERVALS_MAX: u64 = 65_536;

/// Most HTTP connections of a node at once; more wait in the listener's queue.
pub const HTTP_CONNECTIONS_MAX: usize = 256;
/// Most bytes of an HTTP request's body: the largest one lists fragments.
pub const HTTP_BODY_BYTES_MAX: usize = 256 << 10;
/// Most bytes of the records that one HTTP request writes again out of a quarantine file: those of a large value may be many.
pub const HTTP_RECORDS_BYTES_MAX: usize = 32 << 20;
/// Most bytes of an HTTP request's line and headers.
pub const HTTP_HEAD_BYTES_MAX: usize = 32 << 10;
/// Longest time for an HTTP request's line and headers, and for a connection without a request.
pub const HTTP_HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// Longest time for an HTTP answer that only reads.
pub const HTTP_READ_TIME_MAX: Duration = Duration::from_secs(10);
/// Longest time for an HTTP answer that changes or checks something: a checkpoint or scrub reads and writes a lot.
pub const HTTP_CHANGE_TIME_MAX: Duration = Duration::from_secs(300);
/// Most records in one page of a quarantine file.
pub const HTTP_PAGE_RECORDS_MAX: u64 = 1_000;

/// Fewest bytes that a ring, or the journal between two checkpoints, may be set to.
pub const SETTING_BYTES_MIN: u64 = 4 << 10;
/// Most bytes of recent commits that an owner may be set to keep in memory.
pub const RING_BYTES_MAX: u64 = 1 << 30;
/// Most bytes of journal that a node may be set to keep.
pub const JOURNAL_BYTES_MAX: u64 = 1 << 40;

const _: () = assert!(READ_BUFFERS_BYTES_MAX > COMMAND_BYTES_MAX);
const _: () = assert!(PARKED_CLIENTS_MAX <= CLIENTS_MAX && PARKED_BYTES_MAX <= READ_BUFFERS_BYTES_MAX);
const _: () = assert!(WHOLE_VALUE_BYTES_MAX <= ENTRY_VALUE_BYTES_MAX);
const _: () = assert!(PART_BYTES.2 <= WHOLE_VALUE_BYTES_MAX);
const _: () = assert!(FRAME_BYTES_MAX < MESSAGE_BYTES_MAX);
const _: () = assert!(CREDIT_WINDOW_BYTES + FRAME_BYTES_MAX as u64 <= SENT_AGAIN_BYTES_MAX);
const _: () = assert!(LIVE_BATCH_BYTES < RING_BYTES);
const _: () = assert!(STORED_KEY_BYTES_MAX < u32::MAX as usize);
const _: () = assert!(HTTP_BODY_BYTES_MAX < HTTP_RECORDS_BYTES_MAX && HTTP_RECORDS_BYTES_MAX < COMMAND_BYTES_MAX);
const _: () = assert!(HTTP_READ_TIME_MAX.as_secs() <= HTTP_CHANGE_TIME_MAX.as_secs());
const _: () = assert!(SETTING_BYTES_MIN <= RING_BYTES as u64 && RING_BYTES as u64 <= RING_BYTES_MAX);
