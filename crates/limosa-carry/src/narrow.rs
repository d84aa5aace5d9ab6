//! Takes out of records what is no part of a session: fragments that left while something of them was on its way.

use bytes::Bytes;
use limosa_core::varint::{self, Reader};
use limosa_core::{Commit, DecodeError, FragmentId, Scope};

/// Why records are not taken.
pub(crate) enum Foreign {
    /// They are no commits.
    Malformed(DecodeError),
    /// A commit touches a fragment that the session is not about.
    Fragment(FragmentId),
}

/// The records without the parts of fragments in `left`. Every other part must be of a fragment in `scope`: a peer never writes what this
/// node does not follow from it.
pub(crate) fn records(records: &Bytes, scope: &Scope, left: &[FragmentId]) -> Result<Bytes, Foreign> {
    if scope.is_all() && left.is_empty() {
        return Ok(records.clone());
    }
    let (mut reader, mut out, mut is_whole) = (Reader::new(records), Vec::new(), true);
    while !reader.is_empty() {
        let record = reader.bytes_max("live.record", limosa_core::limits::COMMIT_BYTES_MAX)?;
        let mut commit = Commit::decode(&mut Reader::new(record))?;
        let parts = commit.parts.len();
        commit.parts.retain(|part| !left.contains(&part.fragment));
        if let Some(part) = commit.parts.iter().find(|part| !scope.has(part.fragment)) {
            return Err(Foreign::Fragment(part.fragment));
        }
        is_whole &= commit.parts.len() == parts;
        if left.is_empty() {
            continue; // nothing to take out: it was only looked at
        }
        put(&mut out, &commit);
    }
    Ok(if is_whole { records.clone() } else { out.into() })
}

fn put(out: &mut Vec<u8>, commit: &Commit<'_>) {
    if !commit.parts.is_empty() {
        let mut record = Vec::new();
        commit.encode(&mut record);
        varint::put_bytes(out, &record);
    }
}

impl From<DecodeError> for Foreign {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limosa_core::{EntryRef, Part, Version};

    fn encoded(commits: &[&[u32]]) -> Bytes {
        let mut out = Vec::new();
        for parts in commits {
            let part = |id: &u32| {
                let version = Version::new(1, 7);
                let entries = vec![EntryRef { key: b"key", version, live: None }];
                Part { fragment: FragmentId(*id), version, range_deletes: vec![], entries }
            };
            put(&mut out, &Commit { stamp_ms: 1, parts: parts.iter().map(part).collect() });
        }
        out.into()
    }

    fn narrowed(commits: &[&[u32]], scope: &Scope, left: &[u32]) -> Option<Bytes> {
        let left: Vec<FragmentId> = left.iter().copied().map(FragmentId).collect();
        records(&encoded(commits), scope, &left).ok()
    }

    #[test]
    fn parts_of_what_left_are_taken_out_and_all_others_stay() {
        let scope = Scope::only([1, 2].map(FragmentId));
        assert_eq!(narrowed(&[&[1, 2], &[2]], &scope, &[]), Some(encoded(&[&[1, 2], &[2]])));
        assert_eq!(narrowed(&[&[1, 3], &[3], &[2]], &scope, &[3]), Some(encoded(&[&[1], &[2]])));
        assert_eq!(narrowed(&[&[3]], &scope, &[3]), Some(Bytes::new()));
    }

    #[test]
    fn a_commit_on_a_fragment_that_was_never_asked_for_is_refused() {
        assert_eq!(narrowed(&[&[1], &[9]], &Scope::only([FragmentId(1)]), &[]), None);
        assert!(records(&Bytes::from_static(&[200]), &Scope::only([FragmentId(1)]), &[]).is_err());
    }
}
