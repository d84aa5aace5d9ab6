//! One digest of everything that a pair of nodes shares: equal ends find it out in one exchange.

use limosa_core::{Digest, EpochTable, FragmentFacts, History};

/// Hash over (fragment, range, head, state digest, history) of all fragments, in the order of their ids.
/// Never [`Digest::ZERO`], which stands for "don't compare".
pub fn shared_digest(fragments: &[FragmentFacts]) -> Digest {
    let mut fragments: Vec<&FragmentFacts> = fragments.iter().collect();
    fragments.sort_unstable_by_key(|facts| facts.id);
    let mut hasher = blake3::Hasher::new_derive_key("limosa 2026-11 shared state");
    for facts in fragments {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&facts.id.0.to_be_bytes());
        limosa_core::commit::put_range(&mut bytes, &facts.range);
        bytes.extend_from_slice(&facts.head.to_bytes());
        bytes.extend_from_slice(&facts.state.to_bytes());
        put_history(&mut bytes, &facts.epochs);
        hasher.update(&bytes);
    }
    let hash = hasher.finalize();
    let digest = Digest::from_bytes(hash.as_bytes()[..16].try_into().expect("a hash has 32 bytes"));
    if digest == Digest::ZERO { Digest(1) } else { digest }
}

/// Floors are each end's own; strands that differ in nothing else are one.
fn put_history(bytes: &mut Vec<u8>, history: &History) {
    let mut last: Option<&EpochTable> = None;
    for strand in history.strands() {
        if last == Some(&strand.epochs) {
            continue;
        }
        if last.is_some() {
            bytes.extend_from_slice(&(strand.start.len() as u64).to_be_bytes());
            bytes.extend_from_slice(&strand.start);
        }
        last = Some(&strand.epochs);
        bytes.extend_from_slice(&(strand.epochs.rows().len() as u64).to_be_bytes());
        for row in strand.epochs.rows() {
            bytes.extend_from_slice(&row.epoch.to_be_bytes());
            bytes.extend_from_slice(&row.first_seq.to_be_bytes());
            bytes.extend_from_slice(&row.opener.to_be_bytes());
        }
    }
}
