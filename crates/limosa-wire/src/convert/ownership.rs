//! Messages of the control lane, and lists of fragments, into envelopes and back.

use bytes::Bytes;

use limosa_core::{FragmentId, Version};

use super::shared::{digest_in, digest_out, text_in, text_out, version_in, version_out};
use crate::error::{WireError, limit};
use crate::generated::{self as pb, ownership::Kind};
use crate::limits::{FRAGMENTS_MAX, NODE_NAME_BYTES_MAX};
use crate::message::{Greet, MoveAt, OwnershipMessage, Renewal};
use crate::negotiate::MAGIC;

/// Numbers of fragments, ascending and each once.
pub(super) fn fragments_out(fragments: &[FragmentId]) -> Result<Vec<u32>, WireError> {
    limit("a list of fragments", fragments.len(), FRAGMENTS_MAX)?;
    Ok(fragments.iter().map(|fragment| fragment.0).collect())
}

pub(super) fn fragments_in(fragments: &[u32]) -> Result<Vec<FragmentId>, WireError> {
    limit("a list of fragments", fragments.len(), FRAGMENTS_MAX)?;
    if fragments.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(WireError::invalid("fragments", "out of order, or one twice"));
    }
    Ok(fragments.iter().copied().map(FragmentId).collect())
}

pub(super) fn greet_out(greet: &Greet) -> Result<pb::Greet, WireError> {
    limit("a node's name", greet.node.len(), NODE_NAME_BYTES_MAX)?;
    Ok(pb::Greet {
        magic: u64::from_le_bytes(MAGIC),
        wire_version_min: greet.wire_versions.0,
        wire_version_max: greet.wire_versions.1,
        features: greet.features,
        cluster: Bytes::copy_from_slice(&greet.cluster),
        node: greet.node.clone(),
        incarnation: greet.incarnation,
        start: greet.start,
        revision: greet.revision,
    })
}

pub(super) fn greet_in(greet: pb::Greet) -> Result<Greet, WireError> {
    if greet.magic.to_le_bytes() != MAGIC {
        return Err(WireError::NotLimosa { why: "its Greet starts with other bytes" });
    }
    limit("a node's name", greet.node.len(), NODE_NAME_BYTES_MAX)?;
    Ok(Greet {
        wire_versions: (greet.wire_version_min, greet.wire_version_max),
        features: greet.features,
        cluster: greet.cluster[..].try_into().map_err(|_| WireError::invalid("greet.cluster", "it has not 16 bytes"))?,
        node: greet.node,
        incarnation: greet.incarnation,
        start: greet.start,
        revision: greet.revision,
    })
}

pub(super) fn ownership_out(message: &OwnershipMessage) -> Result<pb::Ownership, WireError> {
    let kind = match message {
        OwnershipMessage::Renew { beat, fragments } => Kind::Renew(renew_out(*beat, fragments)?),
        OwnershipMessage::Renewed { beat, refused } => {
            limit("a list of fragments", refused.len(), FRAGMENTS_MAX)?;
            let (refused, epochs) = refused.iter().map(|(fragment, epoch)| (fragment.0, *epoch)).unzip();
            Kind::Renewed(pb::Renewed { beat: *beat, refused, epochs })
        }
        OwnershipMessage::Seal(at) => Kind::Seal(move_at_out(at)),
        OwnershipMessage::Ready(at) => Kind::Ready(move_at_out(at)),
        OwnershipMessage::NotReady { move_id, fragment, why } => {
            Kind::NotReady(pb::NotReady { r#move: *move_id, fragment: fragment.0, why: text_out(why) })
        }
        OwnershipMessage::Committed { fragment, epoch, revision } => {
            Kind::Committed(pb::Committed { fragment: fragment.0, epoch: *epoch, revision: *revision })
        }
        OwnershipMessage::Unsealed { move_id, fragment } => Kind::Unsealed(pb::Unsealed { r#move: *move_id, fragment: fragment.0 }),
        OwnershipMessage::Fence { fragment, epoch } => Kind::Fence(pb::Fence { fragment: fragment.0, epoch: *epoch }),
        OwnershipMessage::Fenced { fragment, epoch, installed, acknowledged } => Kind::Fenced(pb::Fenced {
            fragment: fragment.0,
            epoch: *epoch,
            installed: version_out(*installed),
            acknowledged: version_out(*acknowledged),
        }),
        OwnershipMessage::Doubt { fragments } => {
            let (fragments, epochs) = owned_out(fragments)?;
            Kind::Doubt(pb::Doubt { fragments, epochs })
        }
        OwnershipMessage::Doubted { fragments } => {
            let (fragments, epochs) = owned_out(fragments)?;
            Kind::Doubted(pb::Doubted { fragments, epochs })
        }
    };
    Ok(pb::Ownership { kind: Some(kind) })
}

pub(super) fn ownership_in(message: pb::Ownership) -> Result<OwnershipMessage, WireError> {
    Ok(match message.kind.ok_or(WireError::invalid("ownership", "of an unknown kind"))? {
        Kind::Renew(renew) => OwnershipMessage::Renew { beat: renew.beat, fragments: renewals_in(&renew)? },
        Kind::Renewed(renewed) => {
            limit("a list of fragments", renewed.refused.len(), FRAGMENTS_MAX)?;
            if renewed.refused.len() != renewed.epochs.len() {
                return Err(WireError::invalid("renewed", "lists of different lengths"));
            }
            let refused = renewed.refused.into_iter().map(FragmentId).zip(renewed.epochs).collect();
            OwnershipMessage::Renewed { beat: renewed.beat, refused }
        }
        Kind::Seal(at) => OwnershipMessage::Seal(move_at_in(&at)?),
        Kind::Ready(at) => OwnershipMessage::Ready(move_at_in(&at)?),
        Kind::NotReady(not) => {
            OwnershipMessage::NotReady { move_id: not.r#move, fragment: FragmentId(not.fragment), why: text_in("a reason", not.why)? }
        }
        Kind::Committed(cell) => {
            OwnershipMessage::Committed { fragment: FragmentId(cell.fragment), epoch: cell.epoch, revision: cell.revision }
        }
        Kind::Unsealed(unsealed) => OwnershipMessage::Unsealed { move_id: unsealed.r#move, fragment: FragmentId(unsealed.fragment) },
        Kind::Fence(fence) => OwnershipMessage::Fence { fragment: FragmentId(fence.fragment), epoch: fence.epoch },
        Kind::Fenced(fenced) => OwnershipMessage::Fenced {
            fragment: FragmentId(fenced.fragment),
            epoch: fenced.epoch,
            installed: version_in(fenced.installed),
            acknowledged: version_in(fenced.acknowledged),
        },
        Kind::Doubt(doubt) => OwnershipMessage::Doubt { fragments: owned_in(&doubt.fragments, &doubt.epochs)? },
        Kind::Doubted(doubted) => OwnershipMessage::Doubted { fragments: owned_in(&doubted.fragments, &doubted.epochs)? },
    })
}

/// Fragments, ascending, and the epoch of each.
fn owned_out(owned: &[(FragmentId, u32)]) -> Result<(Vec<u32>, Vec<u32>), WireError> {
    limit("a list of fragments", owned.len(), FRAGMENTS_MAX)?;
    Ok(owned.iter().map(|(fragment, epoch)| (fragment.0, *epoch)).unzip())
}

fn owned_in(fragments: &[u32], epochs: &[u32]) -> Result<Vec<(FragmentId, u32)>, WireError> {
    let fragments = fragments_in(fragments)?;
    if fragments.len() != epochs.len() {
        return Err(WireError::invalid("fragments", "lists of different lengths"));
    }
    Ok(fragments.into_iter().zip(epochs.iter().copied()).collect())
}

fn renew_out(beat: u64, fragments: &[Renewal]) -> Result<pb::Renew, WireError> {
    limit("a list of fragments", fragments.len(), FRAGMENTS_MAX)?;
    Ok(pb::Renew {
        beat,
        fragments: fragments.iter().map(|renewal| renewal.fragment.0).collect(),
        epochs: fragments.iter().map(|renewal| renewal.epoch).collect(),
        acknowledged_epochs: fragments.iter().map(|renewal| renewal.acknowledged.epoch).collect(),
        acknowledged_seqs: fragments.iter().map(|renewal| renewal.acknowledged.seq).collect(),
        base_epochs: fragments.iter().map(|renewal| renewal.base.epoch).collect(),
        base_seqs: fragments.iter().map(|renewal| renewal.base.seq).collect(),
    })
}

fn renewals_in(renew: &pb::Renew) -> Result<Vec<Renewal>, WireError> {
    let fragments = fragments_in(&renew.fragments)?;
    let acknowledged = versions_in(&renew.acknowledged_epochs, &renew.acknowledged_seqs)?;
    let base = versions_in(&renew.base_epochs, &renew.base_seqs)?;
    if [renew.epochs.len(), acknowledged.len(), base.len()] != [fragments.len(); 3] {
        return Err(WireError::invalid("renew", "lists of different lengths"));
    }
    let rest = renew.epochs.iter().zip(base.into_iter().zip(acknowledged));
    let renewal = |(fragment, (&epoch, (base, acknowledged)))| Renewal { fragment, epoch, base, acknowledged };
    Ok(fragments.into_iter().zip(rest).map(renewal).collect())
}

fn versions_in(epochs: &[u32], seqs: &[u64]) -> Result<Vec<Version>, WireError> {
    if epochs.len() != seqs.len() {
        return Err(WireError::invalid("versions", "lists of different lengths"));
    }
    Ok(epochs.iter().zip(seqs).map(|(&epoch, &seq)| Version::new(epoch, seq)).collect())
}

fn move_at_out(at: &MoveAt) -> pb::MoveAt {
    pb::MoveAt {
        r#move: at.move_id,
        fragment: at.fragment.0,
        epoch: at.epoch,
        version: version_out(at.version),
        state: digest_out(at.state),
    }
}

fn move_at_in(at: &pb::MoveAt) -> Result<MoveAt, WireError> {
    Ok(MoveAt {
        move_id: at.r#move,
        fragment: FragmentId(at.fragment),
        epoch: at.epoch,
        version: version_in(at.version),
        state: digest_in(&at.state)?,
    })
}
