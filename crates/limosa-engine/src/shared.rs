//! One digest of everything that a pair of nodes shares: equal ends find it out in one exchange.

use limosa_core::{Digest, FragmentFacts};

/// Hash over (fragment, range, head, state digest, epoch table) of all fragments, which must come in the order of their ids.
/// Never [`Digest::ZERO`], which stands for "don't compare".
///
/// # Panics
/// If the fragments are not in the order of their ids: both ends would hash different bytes.
pub fn shared_digest(fragments: &[FragmentFacts]) -> Digest {
    assert!(fragments.windows(2).all(|pair| pair[0].id < pair[1].id), "fragments come in the order of their ids");
    let mut hasher = blake3::Hasher::new_derive_key("limosa 2026-11 shared state");
    for facts in fragments {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&facts.id.0.to_be_bytes());
        limosa_core::commit::put_range(&mut bytes, &facts.range);
        bytes.extend_from_slice(&facts.head.to_bytes());
        bytes.extend_from_slice(&facts.state.to_bytes());
        bytes.extend_from_slice(&(facts.epochs.rows().len() as u64).to_be_bytes());
        for row in facts.epochs.rows() {
            bytes.extend_from_slice(&row.epoch.to_be_bytes());
            bytes.extend_from_slice(&row.first_seq.to_be_bytes());
            bytes.extend_from_slice(&row.opener.to_be_bytes());
        }
        hasher.update(&bytes);
    }
    let hash = hasher.finalize();
    let digest = Digest::from_bytes(hash.as_bytes()[..16].try_into().expect("a hash has 32 bytes"));
    if digest == Digest::ZERO { Digest(1) } else { digest }
}
