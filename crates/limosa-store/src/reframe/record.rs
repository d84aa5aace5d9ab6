//! The bytes of a split or merge, in the journal and in the live stream.
//!
//! ```text
//! split: 1 | fragment | at (bytes) | head | left | right
//! merge: 2 | left | its head | right | its head | merged | epoch | opener (8)
//! join:  3 | left | right | joined
//! name:  4 | fragment | its head | name
//! ```
//! The last two are what a node does to fall in with a manifest: it joins what it has no copy of, and names a range as others do.
//! Numbers are varints, a version is epoch then seq. Heads are those of the parents right before: a standby that stands elsewhere may not
//! follow.

use bytes::Bytes;
use limosa_core::commit::read_u32;
use limosa_core::limits::STORED_KEY_BYTES_MAX;
use limosa_core::varint::{self, Reader};
use limosa_core::{DecodeError, FragmentId, Version};
use limosa_tree::MergeEpoch;

use crate::codec::{put_version, read_version};

const SPLIT: u8 = 1;
const MERGE: u8 = 2;
const JOIN: u8 = 3;
const NAME: u8 = 4;

/// One split or merge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Reframe {
    /// `fragment`, which stands at `head`, becomes `left` and `right`, which starts at `at`.
    Split { fragment: FragmentId, at: Bytes, head: Version, left: FragmentId, right: FragmentId },
    /// Two neighbours, which stand at these versions, become `merged`.
    Merge { left: (FragmentId, Version), right: (FragmentId, Version), merged: FragmentId, epoch: MergeEpoch },
    /// Two neighbours of which there is no copy here become `joined`, of which there is none.
    Join { left: FragmentId, right: FragmentId, joined: FragmentId },
    /// `fragment`, which stands at `head`, is called `name`.
    Name { fragment: FragmentId, head: Version, name: FragmentId },
}

impl Reframe {
    /// The ids that it makes.
    pub(crate) fn makes(&self) -> Vec<FragmentId> {
        match self {
            Self::Split { left, right, .. } => vec![*left, *right],
            Self::Merge { merged: made, .. } | Self::Join { joined: made, .. } | Self::Name { name: made, .. } => vec![*made],
        }
    }

    /// The fragments that it takes, each with the version that it stands at.
    pub(crate) fn takes(&self) -> Vec<(FragmentId, Version)> {
        match self {
            Self::Split { fragment, head, .. } | Self::Name { fragment, head, .. } => vec![(*fragment, *head)],
            Self::Merge { left, right, .. } => vec![*left, *right],
            Self::Join { left, right, .. } => vec![(*left, Version::ZERO), (*right, Version::ZERO)],
        }
    }

    /// What it makes, at the versions at which it starts.
    pub(crate) fn heads(&self) -> Vec<(FragmentId, Version)> {
        match self {
            Self::Split { head, left, right, .. } => vec![(*left, *head), (*right, *head)],
            Self::Merge { left, right, merged, epoch } => {
                vec![(*merged, Version::new(epoch.epoch, left.1.seq.max(right.1.seq).saturating_add(1)))]
            }
            Self::Join { joined, .. } => vec![(*joined, Version::ZERO)],
            Self::Name { head, name, .. } => vec![(*name, *head)],
        }
    }

    /// The ids that are no more behind it.
    pub(crate) fn parents(&self) -> Vec<FragmentId> {
        self.takes().into_iter().map(|(id, _)| id).collect()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let id = |out: &mut Vec<u8>, id: FragmentId| varint::put(out, u64::from(id.0));
        match self {
            Self::Split { fragment, at, head, left, right } => {
                out.push(SPLIT);
                id(&mut out, *fragment);
                varint::put_bytes(&mut out, at);
                put_version(&mut out, *head);
                id(&mut out, *left);
                id(&mut out, *right);
            }
            Self::Merge { left, right, merged, epoch } => {
                out.push(MERGE);
                for (fragment, head) in [left, right] {
                    id(&mut out, *fragment);
                    put_version(&mut out, *head);
                }
                id(&mut out, *merged);
                varint::put(&mut out, u64::from(epoch.epoch));
                out.extend_from_slice(&epoch.opener.to_le_bytes());
            }
            Self::Join { left, right, joined } => {
                out.push(JOIN);
                for fragment in [left, right, joined] {
                    id(&mut out, *fragment);
                }
            }
            Self::Name { fragment, head, name } => {
                out.push(NAME);
                id(&mut out, *fragment);
                put_version(&mut out, *head);
                id(&mut out, *name);
            }
        }
        out
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let id = |reader: &mut Reader<'_>| Ok::<_, DecodeError>(FragmentId(read_u32(reader, "reframe.fragment")?));
        let tag = reader.u8("reframe.tag")?;
        let reframe = match tag {
            SPLIT => Self::Split {
                fragment: id(&mut reader)?,
                at: Bytes::copy_from_slice(reader.bytes_max("reframe.at", STORED_KEY_BYTES_MAX)?),
                head: read_version(&mut reader)?,
                left: id(&mut reader)?,
                right: id(&mut reader)?,
            },
            MERGE => Self::Merge {
                left: (id(&mut reader)?, read_version(&mut reader)?),
                right: (id(&mut reader)?, read_version(&mut reader)?),
                merged: id(&mut reader)?,
                epoch: MergeEpoch {
                    epoch: read_u32(&mut reader, "reframe.epoch")?,
                    opener: u64::from_le_bytes(reader.array("reframe.opener")?),
                },
            },
            JOIN => Self::Join { left: id(&mut reader)?, right: id(&mut reader)?, joined: id(&mut reader)? },
            NAME => Self::Name { fragment: id(&mut reader)?, head: read_version(&mut reader)?, name: id(&mut reader)? },
            _ => return Err(DecodeError::Invalid { field: "reframe.tag", why: "neither split nor merge" }),
        };
        if !reader.is_empty() {
            return Err(DecodeError::Invalid { field: "reframe", why: "bytes behind its end" });
        }
        Ok(reframe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn splits_and_merges_round_trip_and_are_refused_when_cut() {
        let (id, v) = (FragmentId, Version::new);
        let split = Reframe::Split { fragment: id(3), at: Bytes::from_static(b"\x10\x00"), head: v(1, 300), left: id(64), right: id(65) };
        let epoch = MergeEpoch { epoch: 2, opener: u64::MAX };
        let merge = Reframe::Merge { left: (id(64), v(1, 300)), right: (id(65), v(1, 900)), merged: id(66), epoch };
        let join = Reframe::Join { left: id(3), right: id(200), joined: id(66) };
        let name = Reframe::Name { fragment: id(3), head: v(2, 300), name: id(u32::MAX) };
        for reframe in [split, merge, join, name] {
            let bytes = reframe.encode();
            assert_eq!(Reframe::decode(&bytes), Ok(reframe));
            assert!((0..bytes.len()).all(|end| Reframe::decode(&bytes[..end]).is_err()));
            assert!(Reframe::decode(&[&bytes[..], &[0]].concat()).is_err());
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Reframe::decode(&bytes);
        }
    }
}
