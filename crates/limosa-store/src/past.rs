//! Where a published fragment comes from: what changed it last, from where on its history is known here, and what a checkpoint has of it.
//!
//! Fragments of one folder have different owners, so each has a past of its own: what one is written, brought or emptied says nothing of the
//! others.

use limosa_core::commit::read_u32;
use limosa_core::varint::{self, Reader};
use limosa_core::{DecodeError, Version};

use crate::codec::{put_version, read_version};
use crate::journal::Position;
use crate::save::Covered;

/// One published fragment's past.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Past {
    /// Position of its newest commit; where that is not known, one behind it.
    pub(crate) last_commit: Position,
    /// Position of the last commit, split, merge, install or drop: a stage that was forked before it can't be installed.
    pub(crate) changed: Position,
    /// Position of the install or drop that made it what it is: what lies before is another history.
    pub(crate) installed: Position,
    /// Position of the install, drop, split or merge that it began with.
    pub(crate) began: Position,
    /// Its head there: which commits led to older versions is not known here.
    pub(crate) began_at: Version,
    /// What of it the last checkpoint holds.
    pub(crate) covered: Covered,
    /// The tree's generation that the installed root was forked at: what it holds above is in no checkpoint from before the install.
    pub(crate) forked: u64,
}

impl Past {
    /// Of a fragment as the checkpoint at `position` has it, where nothing more is known.
    pub(crate) fn at(position: Position, covered: Covered) -> Self {
        let (changed, zero) = (position, Position::ZERO);
        Self { last_commit: position, changed, installed: zero, began: zero, began_at: Version::ZERO, covered, forked: u64::MAX }
    }

    /// Of what a split or merge at `position` made of fragments with these pasts; it begins at `head`.
    pub(crate) fn reframed(parents: &[Self], position: Position, head: Version) -> Self {
        let of = |f: fn(&Self) -> Position| parents.iter().map(f).max().expect("it has a parent");
        Self {
            last_commit: of(|past| past.last_commit),
            changed: position,
            installed: of(|past| past.installed),
            began: position,
            began_at: head,
            covered: parents.iter().map(|past| past.covered).reduce(Covered::and).expect("it has a parent"),
            forked: parents.iter().map(|past| past.forked).min().expect("it has a parent"),
        }
    }

    /// Of a root that was forked at generation `forked` and took the place of fragments with these pasts at `position`; it begins at `head`.
    pub(crate) fn installed(replaced: &[Self], position: Position, head: Version, forked: u64) -> Self {
        let past = Self::reframed(replaced, position, head);
        // What the fork changed is dirty, whatever was checkpointed meanwhile.
        Self { last_commit: position, installed: position, covered: past.covered.before_fork(forked), forked, ..past }
    }

    /// Of a fragment that was emptied at `position`.
    pub(crate) fn dropped(self, position: Position) -> Self {
        Self::installed(&[self], position, Version::ZERO, u64::MAX)
    }

    /// A commit was published.
    pub(crate) fn commit(&mut self, position: Position) {
        self.last_commit = position;
        self.changed = position;
    }
}

/// For the checkpoint: { last commit | changed | installed | began at } of each fragment, in the order of the fragments.
pub(crate) fn encode(pasts: &[Past]) -> Vec<u8> {
    let mut out = Vec::new();
    varint::put(&mut out, pasts.len() as u64);
    for past in pasts {
        varint::put(&mut out, past.last_commit.0);
        varint::put(&mut out, past.changed.0);
        varint::put(&mut out, past.installed.0);
        put_version(&mut out, past.began_at);
    }
    out
}

/// The inverse of [`encode`]: into the pasts of as many fragments.
pub(crate) fn decode(bytes: &[u8], pasts: &mut [Past]) -> Result<(), DecodeError> {
    let mut reader = Reader::new(bytes);
    if read_u32(&mut reader, "pasts")? as usize != pasts.len() {
        return Err(DecodeError::Invalid { field: "pasts", why: "not one for each fragment" });
    }
    for past in pasts {
        past.last_commit = Position(reader.varint("past.last_commit")?);
        past.changed = Position(reader.varint("past.changed")?);
        past.installed = Position(reader.varint("past.installed")?);
        past.began_at = read_version(&mut reader)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(position: u64, generation: u64) -> Past {
        Past::at(Position(position), Covered { generation, head: Some(Version::new(1, position)) })
    }

    #[test]
    fn what_was_forked_is_covered_up_to_its_fork_and_an_emptied_fragment_by_no_patch() {
        let head = Version::new(2, 9);
        let installed = Past::installed(&[past(5, 7), past(6, 8)], Position(10), head, 3);
        assert_eq!(installed.covered, Covered { generation: 3, head: None });
        assert_eq!((installed.changed, installed.installed, installed.began_at), (Position(10), Position(10), head));
        let dropped = past(5, 7).dropped(Position(11));
        assert_eq!(dropped.covered, Covered { generation: 7, head: None });
        let merged = Past::reframed(&[installed, past(6, 8)], Position(12), head);
        assert_eq!((merged.installed, merged.forked, merged.last_commit), (Position(10), 3, Position(10)));
    }

    #[test]
    fn pasts_round_trip_and_are_refused_when_cut() {
        let mut some = [past(5, 7), past(6, 8)];
        some[0].commit(Position(9));
        (some[1].began_at, some[1].installed) = (Version::new(3, 300), Position(6));
        let bytes = encode(&some);
        let mut again = [past(1, 7), past(1, 8)];
        assert_eq!(decode(&bytes, &mut again), Ok(()));
        let told = |past: Past| (past.last_commit, past.changed, past.installed, past.began_at);
        assert_eq!(again.map(told), some.map(told));
        assert!((0..bytes.len()).all(|end| decode(&bytes[..end], &mut again.clone()).is_err()));
        assert!(decode(&bytes, &mut again[..1]).is_err());
    }
}
