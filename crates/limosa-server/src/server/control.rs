//! The node as the HTTP door sees it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use limosa_core::FragmentId;
use limosa_node::driver::{Node, PeerRole, PeerStatus, Role, ScrubError};
use limosa_store::{Durability, StoreError};
use tokio::task::spawn_blocking;

use super::cluster::Member;
use super::prepare::Bound;
use super::{quarantine, reapply, refusal, verify, views};
use crate::config::{HostPort, ValidConfig};
use crate::http::api::{
    self, Acknowledged, Checkpointed, Dropped, DurabilityWord, Flushed, Followed, Fragment, FragmentTotals, Listening, Memory, PeersReset,
    Plan, Promoted, QuarantineFile, QuarantinePage, Readiness, Reapplied, Reapply, Scrubbed, Status, Transfer, Verification, hex64,
};
use crate::http::{Answer, Control};
use crate::metrics::{ClientCounts, Counts};

/// Answers operators.
pub(super) struct NodeControl {
    pub(super) node: Node,
    /// Where this node is a member of a cluster.
    pub(super) member: Option<Member>,
    data: PathBuf,
    quarantine: PathBuf,
    bound: Bound,
    started: Instant,
    clients: Box<dyn Fn() -> ClientCounts + Send + Sync>,
}

impl NodeControl {
    pub(super) fn new(
        node: Node,
        member: Option<Member>,
        config: &ValidConfig,
        bound: Bound,
        clients: impl Fn() -> ClientCounts + Send + Sync + 'static,
    ) -> Self {
        Self {
            node,
            member,
            data: config.data.clone(),
            quarantine: config.data.join("quarantine"),
            bound,
            started: Instant::now(),
            clients: Box::new(clients),
        }
    }

    /// Runs what waits for the disk or a lock beside the runtime's threads.
    pub(super) async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Node) -> T + Send + 'static) -> T {
        let node = self.node.clone();
        spawn_blocking(move || work(&node)).await.expect("a panic in the node is a broken invariant: stop here too")
    }

    async fn quarantined_files<T: Send + 'static>(&self, read: impl FnOnce(PathBuf) -> io::Result<T> + Send + 'static) -> Answer<T> {
        let folder = self.quarantine.clone();
        self.blocking(move |_| read(folder)).await.map_err(|error| refusal::unreadable(&error))
    }

    fn transfers_now(&self) -> Vec<Transfer> {
        self.node.registry().transfers().iter().map(views::transfer).collect()
    }

    /// What each standby is known to have of a fragment.
    fn acknowledged(peers: &[PeerStatus], fragment: FragmentId) -> Vec<Acknowledged> {
        let standby = |peer: &PeerStatus| {
            let version = peer.held.get(&fragment).filter(|version| !version.is_zero());
            Some(Acknowledged { peer: peer.name.clone()?, version: version.map(|&version| version.into()) })
        };
        peers.iter().filter(|peer| peer.role == PeerRole::Standby).filter_map(standby).collect()
    }
}

impl Control for NodeControl {
    async fn status(&self) -> Answer<Status> {
        let repaired = self.node.registry().totals().repaired_blocks;
        let (stats, facts, damage) =
            self.blocking(move |node| (node.store().stats(), node.store().facts().len(), views::damage(node.store(), repaired))).await;
        let folder = self.quarantine.clone();
        let quarantined = self.quarantined_files(move |_| quarantine::count(&folder)).await?;
        let (transfers, head) = (self.transfers_now(), stats.horizon.0);
        Ok(Status {
            node: self.node.options().node.clone(),
            cluster: self.node.tls().identity().cluster.to_string(),
            role: match self.node.role() {
                Role::Standby { of } => api::Role::Standby { of },
                Role::Owner | Role::Promoted | Role::Promoting => api::Role::Owner,
                Role::Member => api::Role::Member,
            },
            incarnation: hex64(self.node.store().incarnation()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            durability: match self.node.options().durability {
                Durability::Commit => DurabilityWord::Commit,
                Durability::Interval => DurabilityWord::Interval,
            },
            uptime_s: self.started.elapsed().as_secs_f64(),
            listening: Listening {
                resp: self.bound.advertised_resp.to_string(),
                peer: self.bound.advertised_peer.to_string(),
                http: self.bound.advertised_http.to_string(),
            },
            head,
            durable: stats.flushed.0.min(head),
            fragments: FragmentTotals { count: facts as u64, entries: stats.live, bytes: stats.live_bytes, tombstones: stats.tombstones },
            memory: Memory { max: stats.memory_max, used: stats.memory.total(), blocks: stats.memory.blocks, dirty: stats.memory.dirty },
            quarantined,
            leases: self.blocking(views::leases).await,
            clustered: self.member.is_some(),
            damage,
            peers: self.node.registry().peers().iter().map(|peer| views::peer(peer, self.node.store(), head, &transfers)).collect(),
        })
    }

    fn readiness(&self) -> Readiness {
        readiness(self.node.store().poison(), self.node.role(), self.node.is_ready())
    }

    fn counts(&self) -> Counts {
        let mut counts = views::counts(&self.node);
        counts.clients = (self.clients)();
        counts.journal_bytes = bytes_in(&self.data.join("journal"));
        counts.checkpoint_bytes = self.node.store().checkpoint_file_bytes();
        counts.quarantined = quarantine::count(&self.quarantine).unwrap_or(0);
        counts
    }

    async fn fragments(&self) -> Answer<Vec<Fragment>> {
        // Before the heads: what a standby has is never shown as more than what this node has.
        let peers = self.node.registry().peers();
        let (durable, facts) = self.blocking(|node| (node.durable_heads(), node.store().facts())).await;
        let one = |facts: &limosa_core::FragmentFacts| {
            let acknowledged = Self::acknowledged(&peers, facts.id);
            Fragment::new(facts, durable.get(&facts.id).copied().unwrap_or_default(), acknowledged)
        };
        Ok(facts.iter().map(one).collect())
    }

    async fn plan(&self) -> Answer<Vec<Plan>> {
        let peers = self.node.registry().peers();
        Ok(peers.iter().filter(|peer| peer.connected).filter_map(views::plan).collect())
    }

    async fn transfers(&self) -> Answer<Vec<Transfer>> {
        Ok(self.transfers_now())
    }

    async fn verify(&self, peer: Option<String>) -> Answer<Vec<Verification>> {
        let mut peers = self.node.registry().peers();
        peers.retain(|status| peer.as_ref().map_or(status.connected, |name| status.name.as_ref() == Some(name)));
        if let (Some(name), true) = (peer, peers.is_empty()) {
            return Err(refusal::no_peer(&name));
        }
        let (drift, compared) = self.blocking(|node| (node.store().drift(), node.store().facts().len() as u64)).await;
        let mut verified = Vec::with_capacity(peers.len());
        for peer in peers {
            verified.push(verify::verify(&self.node, peer, drift, compared).await?);
        }
        Ok(verified)
    }

    async fn quarantine(&self) -> Answer<Vec<QuarantineFile>> {
        self.quarantined_files(|folder| quarantine::list(&folder)).await
    }

    async fn quarantined(&self, name: String, first: u64, count: u64) -> Answer<QuarantinePage> {
        self.quarantined_files(move |folder| quarantine::page(&folder, name, first, count)).await
    }

    async fn reapply(&self, records: Reapply) -> Answer<Reapplied> {
        let applied = self.blocking(move |node| reapply::reapply(node.store(), &records)).await?;
        self.node.published(self.node.store().horizon().0);
        Ok(applied)
    }

    async fn drop_quarantined(&self, name: String) -> Answer<Dropped> {
        self.quarantined_files(move |folder| quarantine::drop_file(&folder, name)).await
    }

    async fn promote(&self) -> Answer<Promoted> {
        let epoch = self.blocking(Node::promote).await.map_err(|error| refusal::store(&error))?;
        Ok(Promoted { epoch })
    }

    async fn follow(&self, owner: HostPort) -> Answer<Followed> {
        if owner == self.bound.advertised_peer {
            return Err(refusal::itself(&owner));
        }
        let address = owner.to_string();
        self.blocking(move |node| node.follow(&address)).await.map_err(|error| refusal::store(&error))?;
        Ok(Followed { owner: owner.to_string() })
    }

    async fn reset_peers(&self) -> Answer<PeersReset> {
        Ok(PeersReset { dropped: self.node.reset_peers() as u64 })
    }

    async fn flush(&self) -> Answer<Flushed> {
        let flushed = self.blocking(|node| node.store().flush().and_then(|position| node.store().sync().map(|()| position))).await;
        let position = flushed.map_err(|error| refusal::store(&error))?.0;
        self.node.published(position);
        Ok(Flushed { position })
    }

    async fn checkpoint(&self) -> Answer<Checkpointed> {
        let began = Instant::now();
        let report = self.blocking(|node| node.store().checkpoint()).await.map_err(|error| refusal::store(&error))?;
        let seconds = began.elapsed().as_secs_f64();
        Ok(Checkpointed { position: report.position.0, blocks: report.blocks, bytes: report.bytes, seconds })
    }

    async fn scrub(&self) -> Answer<Scrubbed> {
        let report = self.blocking(Node::scrub).await.map_err(|error| match &error {
            ScrubError::Store(inner) => refusal::store(inner),
            ScrubError::Rot { .. } => refusal::broken(error.code(), error.to_string(), error.retry()),
        })?;
        Ok(Scrubbed { fragments: report.fragments, entries: report.entries, seconds: report.took.as_secs_f64() })
    }
}

/// Whether a node can do its work; a store that refuses all work comes before everything else.
fn readiness(poison: Option<StoreError>, role: Role, is_ready: bool) -> Readiness {
    match (poison, role) {
        (Some(poison), _) => Readiness::waiting(format!("{}: {poison}", poison.code())),
        (None, _) if is_ready => Readiness::ready(),
        (None, Role::Standby { of }) => Readiness::waiting(format!("this standby has not agreed with its owner {of} yet")),
        (None, Role::Member) => Readiness::waiting("this member of a cluster has not seen the manifest yet"),
        (None, _) => Readiness::waiting("this node is being promoted"),
    }
}

/// Bytes of the files in a folder; files that vanish meanwhile count nothing.
fn bytes_in(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|facts| facts.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poisoned_store_is_not_ready_and_says_why() {
        let poison = || Some(StoreError::Poisoned { why: "a flush of the journal failed".to_owned() });
        let refused = readiness(poison(), Role::Owner, true);
        assert!(!refused.ready);
        let reason = refused.reason.expect("there is one");
        assert!(reason.starts_with("store.poisoned: ") && reason.contains("a flush of the journal failed"), "{reason}");
        assert_eq!(readiness(None, Role::Owner, true), Readiness::ready());
        assert!(!readiness(None, Role::Promoting, false).ready);
        let waiting = readiness(None, Role::Standby { of: "a:1".to_owned() }, false).reason.expect("there is one");
        assert!(waiting.contains("a:1"), "{waiting}");
    }
}
