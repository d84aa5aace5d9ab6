//! What of a commit concerns a scope: a tail of some fragments hands out no part of another.

use bytes::Bytes;
use limosa_core::varint::{self, Reader};
use limosa_core::{Commit, DecodeError, FragmentId, Scope, Version};

use super::COMMIT_BYTES_LIVE_MAX;

/// A commit's bytes as a scope sees it.
pub(super) enum Narrowed {
    /// None of its parts is in the scope.
    Nothing,
    /// All of them are: its own bytes.
    Whole,
    /// Those that are, as a commit of their own.
    Parts(Vec<u8>),
}

/// `body` in `scope`, and the versions that it brings the scope's fragments to.
pub(super) fn commit(body: &[u8], scope: &Scope) -> Result<(Narrowed, Vec<(FragmentId, Version)>), DecodeError> {
    let mut commit = Commit::decode(&mut Reader::new(body))?;
    let count = commit.parts.len();
    if !scope.is_all() {
        commit.parts.retain(|part| scope.has(part.fragment));
    }
    let heads = commit.parts.iter().map(|part| (part.fragment, part.version)).collect();
    let narrowed = match commit.parts.len() {
        len if len == count => Narrowed::Whole,
        0 => Narrowed::Nothing,
        _ => {
            let mut bytes = Vec::with_capacity(body.len());
            commit.encode(&mut bytes);
            Narrowed::Parts(bytes)
        }
    };
    Ok((narrowed, heads))
}

/// Commits of the ring, each behind its varint length, as `scope` sees them.
pub(super) fn commits(all: &Bytes, scope: &Scope) -> Bytes {
    let mut out = Vec::new();
    let mut reader = Reader::new(all);
    while let Ok(body) = reader.bytes_max("record", COMMIT_BYTES_LIVE_MAX) {
        match commit(body, scope).expect("it was decoded when it was published").0 {
            Narrowed::Nothing => {}
            Narrowed::Whole => varint::put_bytes(&mut out, body),
            Narrowed::Parts(body) => varint::put_bytes(&mut out, &body),
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use limosa_core::Part;

    #[test]
    fn a_commit_is_cut_down_to_the_parts_in_scope() {
        let part = |id| Part { fragment: FragmentId(id), version: Version::new(1, 7), range_deletes: Vec::new(), entries: Vec::new() };
        let encoded = |parts: Vec<Part<'_>>| {
            let mut bytes = Vec::new();
            Commit { stamp_ms: 5, parts }.encode(&mut bytes);
            bytes
        };
        let both = encoded(vec![part(1), part(2)]);
        let (narrowed, heads) = commit(&both, &Scope::only([FragmentId(2)])).expect("sound");
        assert!(matches!(narrowed, Narrowed::Parts(bytes) if bytes == encoded(vec![part(2)])));
        assert_eq!(heads, [(FragmentId(2), Version::new(1, 7))]);
        assert!(matches!(commit(&both, &Scope::All).expect("sound").0, Narrowed::Whole));
        assert!(matches!(commit(&both, &Scope::only([FragmentId(3)])).expect("sound").0, Narrowed::Nothing));
        let mut run = Vec::new();
        varint::put_bytes(&mut run, &both);
        varint::put_bytes(&mut run, &encoded(vec![part(1)]));
        let mut own = Vec::new();
        varint::put_bytes(&mut own, &encoded(vec![part(2)]));
        assert_eq!(commits(&run.into(), &Scope::only([FragmentId(2)])), own);
    }
}
