//! I10: what is on its way to a standby stays inside the credit window and one message of each kind.

use limosa_core::limits::{FRAME_BYTES_BULK, LIVE_BATCH_BYTES};

use super::Broken;
use crate::session::CREDIT_WINDOW_BYTES;

/// Offers, plans and symbols beside frames and commits, bytes.
const BESIDE_BYTES: u64 = 256 << 10;

/// `on_the_way` bytes of messages travel, and `undurable` bytes of frames had arrived before the last one that the standby's journal does
/// not have yet: a frame is sent only while there is credit.
pub(crate) fn within_the_window(on_the_way: u64, undurable: u64) -> Result<(), Broken> {
    let most = CREDIT_WINDOW_BYTES + (FRAME_BYTES_BULK + LIVE_BATCH_BYTES) as u64 + BESIDE_BYTES;
    if on_the_way <= most && undurable <= CREDIT_WINDOW_BYTES {
        return Ok(());
    }
    let what = format!("{on_the_way} bytes are on their way, {undurable} bytes of frames are not durable yet");
    Err(Broken { rule: "I10 a transfer stays inside its budget", what })
}
