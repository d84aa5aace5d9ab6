//! Which version and features two ends use with each other.

use crate::error::WireError;

/// First bytes of a [`crate::Hello`]: the line end finds a connection that rewrites text.
pub const MAGIC: [u8; 8] = *b"LIMOSA\r\n";
/// The version of the contract that this program speaks best.
pub const WIRE_VERSION: u32 = 1;
/// Lowest and highest version that this program speaks.
pub const WIRE_VERSIONS: (u32, u32) = (1, WIRE_VERSION);

/// What one end understands beyond the version's base, as bits of [`crate::Hello::features`].
pub mod features {
    /// Sections compressed with zstd.
    pub const ZSTD: u64 = 1;
    /// Reconciliation by coded symbols: Symbols and Differ.
    pub const RECONCILE: u64 = 1 << 1;
    /// The live stream behind Ready.
    pub const LIVE: u64 = 1 << 2;
    /// Frames that drop entries by short id. Room: this program does not speak it.
    pub const DROPS: u64 = 1 << 3;
    /// Ends that part the same keys into other fragments: strands, parts of a Have, splits and merges in the live stream.
    pub const REFRAME: u64 = 1 << 5;

    /// [`crate::Message::Fetch`] and [`crate::Message::Fetched`]: damaged blocks are fetched from the other end.
    pub const REPAIR: u64 = 1 << 4;

    /// Sessions about some fragments only, fragments that leave one, and collecting from a fenced member: [`crate::Hello::scope`],
    /// [`crate::Message::Leave`], [`crate::Purpose`].
    pub const SCOPE: u64 = 1 << 6;

    /// All that this program understands.
    pub const ALL: u64 = ZSTD | RECONCILE | LIVE | REPAIR | REFRAME | SCOPE;
    /// What a peer must understand: without these a transfer can't be finished in every case.
    pub const REQUIRED: u64 = RECONCILE | LIVE;
}

/// The highest version that both ends speak.
///
/// # Errors
/// There is none, or the peer's range is empty.
pub fn negotiate(ours: (u32, u32), theirs: (u32, u32)) -> Result<u32, WireError> {
    let version = ours.1.min(theirs.1);
    let is_common = |range: (u32, u32)| (range.0..=range.1).contains(&version);
    if is_common(ours) && is_common(theirs) { Ok(version) } else { Err(WireError::NoCommonVersion { ours, theirs }) }
}

/// The features that both ends understand.
///
/// # Errors
/// The peer lacks one of [`features::REQUIRED`].
pub fn common_features(ours: u64, theirs: u64) -> Result<u64, WireError> {
    let missing = features::REQUIRED & !theirs;
    if missing == 0 { Ok(ours & theirs) } else { Err(WireError::MissingFeature { missing }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_common_version_is_chosen() {
        assert_eq!(negotiate((1, 3), (2, 5)), Ok(3));
        assert_eq!(negotiate((1, 3), (1, 1)), Ok(1));
        assert_eq!(negotiate(WIRE_VERSIONS, WIRE_VERSIONS), Ok(WIRE_VERSION));
    }

    #[test]
    fn a_peer_that_is_only_newer_or_only_older_is_refused() {
        for (ours, theirs) in [((1, 1), (2, 3)), ((2, 3), (1, 1)), ((1, 9), (5, 4)), ((3, 9), (0, 0))] {
            let error = negotiate(ours, theirs).expect_err("no common version");
            assert_eq!((error.code(), error.retry()), ("wire.no_common_version", limosa_core::Retry::Never));
        }
    }

    #[test]
    fn a_feature_that_the_peer_does_not_know_is_not_used() {
        assert_eq!(common_features(features::ALL, features::REQUIRED | 1 << 40), Ok(features::REQUIRED));
        let missing = WireError::MissingFeature { missing: features::LIVE };
        assert_eq!(common_features(features::ALL, features::RECONCILE | features::ZSTD), Err(missing));
    }
}
