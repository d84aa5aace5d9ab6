//! Limits of messages that only the wire knows; those that it shares with the store are in [`limosa_core::limits`].

use limosa_core::limits::{
    COMMIT_BYTES_MAX, COMMIT_PARTS_MAX, FRAME_BYTES_MAX, FRAME_ENTRIES_MAX, INTERVALS_MAX, LIVE_BATCH_BYTES, MESSAGE_BYTES_MAX,
};

/// Most bytes of an envelope.
pub const ENVELOPE_BYTES_MAX: usize = 4 << 20;
/// Most fields of an envelope's message, counted before its reader allocates for them: fragments, plan items, range deletes.
pub const ITEMS_MAX: u64 = 68 << 10;
/// Most interval starts in one message, all fragments together.
pub const STARTS_MAX: u64 = 128 << 10;
/// Most fragments that one message names for a session's scope, a Leave or a beat.
pub const FRAGMENTS_MAX: usize = 4096;
/// Most bytes of an encoded Hello or Leave: numbers of fragments, and room for the rest.
pub(crate) const SCOPE_BYTES_MAX: usize = FRAGMENTS_MAX * 5 + (4 << 10);
/// Most bytes of an encoded message about ownership: each fragment with its epoch and two versions.
pub(crate) const OWNERSHIP_BYTES_MAX: usize = FRAGMENTS_MAX * (5 + 5 + 2 * (5 + 10)) + 2 * TEXT_BYTES_MAX;
/// Most bytes of a key list with its shared prefixes written out.
pub const KEY_LIST_BYTES_MAX: usize = 4 << 20;
/// Most bytes that the layout of one entry takes beside its key.
pub const LAYOUT_ENTRY_BYTES_MAX: usize = 36;
/// Most bytes of a frame's layout, decompressed.
pub const LAYOUT_BYTES_MAX: usize = FRAME_BYTES_MAX + LAYOUT_ENTRY_BYTES_MAX * (1 << 17);
/// Most bytes of records in one message of the live stream, decompressed. More records are cut.
pub const LIVE_RECORDS_BYTES_MAX: usize = 1 << 20;
/// Most bytes of records that were cut, joined again: one batch, which may end with one commit too many.
pub const LIVE_JOINED_BYTES_MAX: usize = COMMIT_BYTES_MAX + LIVE_BATCH_BYTES + 64;
/// Longest name of a node, bytes.
pub const NODE_NAME_BYTES_MAX: usize = 255;
/// Longest text for people and longest trace context, bytes.
pub const TEXT_BYTES_MAX: usize = 4 << 10;

const _: () = assert!(FRAME_ENTRIES_MAX == 1 << 17 && LAYOUT_BYTES_MAX + (64 << 10) < MESSAGE_BYTES_MAX); // keys and values share FRAME_BYTES_MAX
const _: () = assert!(ENVELOPE_BYTES_MAX < MESSAGE_BYTES_MAX && LIVE_RECORDS_BYTES_MAX < MESSAGE_BYTES_MAX);
const _: () = assert!(LIVE_BATCH_BYTES <= LIVE_RECORDS_BYTES_MAX);
const _: () = assert!(COMMIT_PARTS_MAX < ITEMS_MAX && INTERVALS_MAX < STARTS_MAX);
