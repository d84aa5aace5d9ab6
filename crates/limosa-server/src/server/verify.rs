//! Whether this node and a peer hold the same, by what the live stream proves.
//!
//! A session begins with equal digests of every fragment. Each message of the live stream carries the digests of the fragments that it
//! touches, which the standby compares behind the last commit; a difference ends the live state at once. So two nodes agree at a commit when
//! their session is live, the standby has acknowledged that commit, and no digest differed.

use std::time::Duration;

use limosa_node::driver::{Node, PeerRole, PeerStatus};
use limosa_store::Drift;

use super::refusal;
use crate::http::Answer;
use crate::http::api::{Difference, Verification};

/// Longest wait for a standby to reach the commit at which it is compared.
const CATCH_UP_MAX: Duration = Duration::from_secs(5);

/// Compares with one peer at this node's newest commit.
pub(super) async fn verify(node: &Node, peer: PeerStatus, drift: Option<Drift>, compared: u64) -> Answer<Verification> {
    let name = peer.name.clone().unwrap_or_else(|| peer.address.clone());
    let position = node.store().horizon().0;
    // A standby can tell that it differs; that it agrees can only be told while commits flow.
    let drift = drift.filter(|_| peer.role == PeerRole::Owner);
    let caught_up = peer.role == PeerRole::Owner || wait_for(node, &peer, position).await;
    if drift.is_none() && !(peer.live && caught_up) {
        return Err(refusal::not_comparable(&name, peer.phase));
    }
    let differing: Vec<_> = drift.iter().map(difference).collect();
    let scrub_age_s = node.scrub_age().map(|age| age.as_secs_f64());
    Ok(Verification { peer: name, agree: differing.is_empty(), compared, position, differing, scrub_age_s })
}

/// Whether a standby acknowledges `position` in time.
async fn wait_for(node: &Node, peer: &PeerStatus, position: u64) -> bool {
    let mut progress = node.registry().progress();
    let reached = async {
        loop {
            let now = node.registry().peers().into_iter().find(|other| other.name == peer.name && other.role == peer.role);
            if now.is_some_and(|now| now.live && now.acknowledged >= position) {
                return;
            }
            if progress.changed().await.is_err() {
                std::future::pending::<()>().await; // the registry is gone: so is the node, and the timeout ends this
            }
        }
    };
    tokio::time::timeout(CATCH_UP_MAX, reached).await.is_ok()
}

fn difference(drift: &Drift) -> Difference {
    Difference {
        fragment: drift.fragment.0,
        here: drift.version.into(),
        there: drift.version.into(),
        here_digest: format!("{:032x}", drift.ours.0),
        there_digest: format!("{:032x}", drift.owners.0),
    }
}
