//! I10: what is on its way to a standby stays inside the credit window and one message of each kind.

use limosa_core::limits::LIVE_BATCH_BYTES;

use super::Broken;
use crate::session::CREDIT_WINDOW_BYTES;

/// Offers, plans and symbols beside frames and commits, bytes.
const BESIDE_BYTES: u64 = 256 << 10;

/// `bytes` are on their way.
pub(crate) fn within_the_window(bytes: u64) -> Result<(), Broken> {
    if bytes <= CREDIT_WINDOW_BYTES + LIVE_BATCH_BYTES as u64 + BESIDE_BYTES {
        return Ok(());
    }
    Err(Broken { rule: "I10 a transfer stays inside its budget", what: format!("{bytes} bytes are on their way") })
}
