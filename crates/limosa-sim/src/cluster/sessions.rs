//! Sessions between nodes: a follower's chain becomes what its source has on the disk, and acknowledgements come back.

use limosa_core::{FragmentId, Version};
use limosa_engine::ownership::Session;
use limosa_wire::Purpose;

use super::world::{ClusterWorld, Due};

/// Commits that a session brings at once.
const AT_ONCE: usize = 40;
/// Bytes of a commit, about.
const LINK_BYTES: u64 = 100;
/// Between two looks of a session at its source, microseconds.
const LOOK_US: u64 = 20_000;

impl ClusterWorld {
    /// One step of the session that `node` keeps about a fragment.
    pub(super) fn session(&mut self, node: usize, fragment: FragmentId) {
        let lives = self.members[node].lives;
        let Some(follows) = self.members[node].life.as_ref().and_then(|life| life.follows.get(&fragment)).cloned() else { return };
        let look = LOOK_US / 2 + self.random.below(LOOK_US);
        if !self.may_flow(node, fragment) {
            if follows.was_told {
                self.break_off(node, fragment);
            }
            return self.after(look * 5, Due::Session { node, life: lives, fragment });
        }
        let source = self.members[follows.from].chains[&fragment].clone();
        let published = &source.links[..source.durable];
        let chain = &self.members[node].chains[&fragment];
        let common = chain.common(published);
        let missing = published.len() - common;
        let is_plain = common == chain.links.len() && missing <= AT_ONCE;
        let staged = if is_plain { missing } else { (follows.staged + AT_ONCE).min(missing) };
        let is_there = is_plain || staged == missing;
        if is_there {
            let chain = self.members[node].chains.get_mut(&fragment).expect("every node has a place for it");
            let is_news = missing > 0 || common < chain.links.len() || chain.row < source.row;
            if common < chain.links.len() {
                chain.links.truncate(common); // what it wrote alone is set aside
                chain.durable = chain.durable.min(common);
            }
            chain.links.extend_from_slice(&published[common..]);
            if source.row > chain.row {
                chain.row = source.row;
            }
            if is_news || !follows.is_live {
                let takes = 300 + self.random.below(4_000);
                self.after(takes, Due::Flush { node, life: lives, fragment });
            }
        }
        if let Some(follows) = self.members[node].life.as_mut().and_then(|life| life.follows.get_mut(&fragment)) {
            follows.staged = if is_there { 0 } else { staged };
            follows.is_live |= is_there;
            follows.was_told = true;
        }
        if !is_there {
            let held = self.members[node].chains[&fragment].held();
            let session = Session::Transferring { done: staged as u64 * LINK_BYTES, total: missing as u64 * LINK_BYTES };
            self.tell_session(node, follows.from, fragment, session, held);
            self.tell_follower(follows.from, node, fragment, session, held);
        }
        self.after(look, Due::Session { node, life: lives, fragment });
    }

    /// Whether the two ends have a connection, the source is one, and the follower may take what it offers.
    fn may_flow(&self, node: usize, fragment: FragmentId) -> bool {
        let Some(follows) = self.members[node].life.as_ref().and_then(|life| life.follows.get(&fragment)) else { return false };
        let pair = (node.min(follows.from), node.max(follows.from));
        let source = &self.members[follows.from];
        let Some(life) = source.life.as_ref().filter(|_| self.connections.contains_key(&pair)) else { return false };
        if source.paused_until_us > self.now_us {
            return true; // nothing comes, and nobody knows yet
        }
        let (theirs, ours) = (&source.chains[&fragment], &self.members[node].chains[&fragment]);
        let is_source = match follows.purpose {
            Purpose::Follow => life.machine.writes(fragment).is_some() && theirs.row >= ours.fence,
            Purpose::Collect { .. } => !life.follows.contains_key(&fragment),
        };
        is_source && theirs.row <= follows.epoch_max && theirs.row >= ours.row
    }

    /// What was flushed at a follower is told, here and at its owner.
    pub(super) fn acknowledge_to_owner(&mut self, node: usize, fragment: FragmentId) {
        let Some(follows) = self.members[node].life.as_ref().and_then(|life| life.follows.get(&fragment)).cloned() else { return };
        if !follows.is_live {
            return;
        }
        let held = self.members[node].chains[&fragment].held();
        self.tell_session(node, follows.from, fragment, Session::Live { behind: 0 }, held);
        let pair = (node.min(follows.from), node.max(follows.from));
        if let Some(connection) = self.connections.get(&pair).copied() {
            let delay = 200 + self.random.below(4_000);
            self.after(delay, Due::Acknowledge { from: node, to: follows.from, connection, fragment, held });
        }
    }

    pub(super) fn acknowledged(&mut self, from: usize, to: usize, connection: u64, fragment: FragmentId, held: Version) {
        let pair = (from.min(to), from.max(to));
        let is_there = self.connections.get(&pair) == Some(&connection);
        let follows = self.members[from].life.as_ref().and_then(|life| life.follows.get(&fragment));
        if !is_there || self.members[to].life.is_none() || !follows.is_some_and(|follows| follows.from == to && follows.is_live) {
            return;
        }
        let newest = self.members[to].chains[&fragment].head();
        if let Some(life) = &mut self.members[to].life {
            life.acknowledged.insert((fragment, from), held);
        }
        let behind = newest.seq.saturating_sub(held.seq) * LINK_BYTES;
        self.tell_follower(to, from, fragment, Session::Live { behind }, held);
        self.settle(to, fragment);
    }

    /// Answers to clients leave as far as enough members have what they saw.
    pub(super) fn settle(&mut self, node: usize, fragment: FragmentId) {
        let Some(life) = &self.members[node].life else { return };
        if life.machine.writes(fragment).is_none() {
            return;
        }
        let chain = &self.members[node].chains[&fragment];
        let is_replicated = life.counts.get(&fragment).is_some_and(|count| count.needed > 0);
        let agreed = life.agreed(fragment, chain.held(), |node| self.members[node].name.clone());
        if let Some(link) = chain.links.iter().rev().find(|link| link.version <= agreed).copied() {
            self.judge.acknowledge(fragment, link, is_replicated);
        }
    }

    /// The follower ends its session by itself.
    pub(super) fn leave(&mut self, node: usize, fragment: FragmentId) {
        let Some(follows) = self.members[node].life.as_mut().and_then(|life| life.follows.remove(&fragment)) else { return };
        if follows.was_told {
            self.forget(node, follows.from, fragment);
            let held = self.members[node].chains[&fragment].held();
            self.tell_follower(follows.from, node, fragment, Session::Absent, held);
        }
    }

    /// The session ended; it will be tried again.
    fn break_off(&mut self, node: usize, fragment: FragmentId) {
        let Some(follows) = self.members[node].life.as_mut().and_then(|life| life.follows.get_mut(&fragment)) else { return };
        (follows.is_live, follows.was_told, follows.staged) = (false, false, 0);
        let from = follows.from;
        self.forget(node, from, fragment);
        let held = self.members[node].chains[&fragment].held();
        self.tell_session(node, from, fragment, Session::Absent, held);
        self.tell_follower(from, node, fragment, Session::Absent, held);
    }

    fn forget(&mut self, node: usize, owner: usize, fragment: FragmentId) {
        if let Some(life) = &mut self.members[owner].life {
            life.acknowledged.remove(&(fragment, node));
        }
    }

    /// `peer` is not reached any more: what `node` follows there, and who follows it from there.
    pub(super) fn end_sessions(&mut self, node: usize, peer: usize) {
        let fragments: Vec<FragmentId> = self.members[node].chains.keys().copied().collect();
        for fragment in fragments {
            let Some(life) = &mut self.members[node].life else { return };
            let is_follower = life.follows.get_mut(&fragment).filter(|follows| follows.from == peer && follows.was_told);
            let was_told = is_follower.is_some_and(|follows| {
                (follows.is_live, follows.staged) = (false, 0);
                std::mem::replace(&mut follows.was_told, false)
            });
            let was_followed = life.acknowledged.remove(&(fragment, peer)).is_some();
            let held = self.members[node].chains[&fragment].held();
            if was_told {
                self.tell_session(node, peer, fragment, Session::Absent, held);
            }
            if was_followed || !was_told {
                self.tell_follower(node, peer, fragment, Session::Absent, Version::ZERO);
            }
        }
    }
}
