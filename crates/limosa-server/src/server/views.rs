//! Turns what the driver knows into the bodies of `/v1`.

use std::time::{SystemTime, UNIX_EPOCH};

use limosa_node::driver::{self, Node, PeerRole, PeerStatus, TransferKind, TransferRecord};
use limosa_store::{Position, Store};

use crate::http::api::{
    Alternative, CpuSeconds, Damage, DamagedBlock, Direction, Kind, Lease, Method, Outcome, Peer, PeerState, Plan, PlanItem, Progress,
    Transfer, hex64,
};
use crate::metrics::{Counts, PeerLag};

/// A peer; `head` is this node's newest commit.
pub(super) fn peer(status: &PeerStatus, store: &Store, head: u64, transfers: &[Transfer]) -> Peer {
    let (moved_bytes_in, moved_bytes_out, handshake_bytes) = status.socket_bytes();
    let is_standby = status.role == PeerRole::Standby;
    let last = |transfer: &&Transfer| {
        transfer.kind == Kind::CatchUp
            && Some(&transfer.peer) == status.name.as_ref()
            && (transfer.direction == Direction::Sent) == is_standby
    };
    Peer {
        name: status.name.clone(),
        address: status.address.clone(),
        role: if is_standby { "standby" } else { "owner" }.to_owned(),
        state: state(status),
        blocked_because: status.blocked.clone(),
        session: (status.session != 0).then(|| hex64(status.session)),
        acknowledged: (is_standby && status.live).then_some(status.acknowledged),
        lag_commits: if is_standby { head.saturating_sub(status.acknowledged) } else { 0 },
        lag_bytes: lag_bytes(status, store),
        progress: progress(status),
        moved_bytes_in,
        moved_bytes_out,
        handshake_bytes,
        last_transfer: transfers.iter().find(last).cloned(),
    }
}

/// What a standby lacks: while it follows the stream, or is away, the commits behind the last one that it acknowledged; while a transfer runs,
/// what that still has to bring.
fn lag_bytes(status: &PeerStatus, store: &Store) -> u64 {
    match status.role {
        PeerRole::Owner => 0,
        PeerRole::Standby if status.live || !status.connected => store.bytes_behind(Position(status.acknowledged)),
        PeerRole::Standby => status.bytes.1.saturating_sub(status.bytes.0),
    }
}

fn state(status: &PeerStatus) -> PeerState {
    if status.blocked.is_some() {
        return PeerState::Blocked;
    }
    if !status.connected {
        return PeerState::Connecting;
    }
    if status.live {
        return PeerState::Live;
    }
    match status.phase {
        "sending" | "receiving" | "refused, waiting for Offer" => PeerState::Transferring,
        "sealing" | "installing" => PeerState::Sealing,
        _ => PeerState::Comparing,
    }
}

fn progress(status: &PeerStatus) -> Option<Progress> {
    let (done, total) = status.bytes;
    if !status.connected || status.live || total == 0 {
        return None;
    }
    let bytes_done = done.min(total);
    let seconds = status.since.elapsed().as_secs_f64();
    let rate_bytes_per_s = if seconds > 0.0 { bytes_done as f64 / seconds } else { 0.0 };
    let eta_s = (rate_bytes_per_s > 0.0).then(|| (total - bytes_done) as f64 / rate_bytes_per_s);
    let phase = status.phase.to_owned();
    Some(Progress { method: dearest(status), phase, bytes_done, bytes_total: total, rate_bytes_per_s, eta_s })
}

fn dearest(status: &PeerStatus) -> Method {
    status.plan.iter().map(|item| method(item.method)).max().unwrap_or(Method::Nothing)
}

fn method(method: driver::Method) -> Method {
    match method {
        driver::Method::Nothing => Method::Nothing,
        driver::Method::Tail => Method::Tail,
        driver::Method::Delta => Method::Delta,
        driver::Method::Reconcile => Method::Reconcile,
        driver::Method::Copy => Method::Copy,
    }
}

/// The inverse of [`method`].
fn back(method: Method) -> driver::Method {
    match method {
        Method::Nothing => driver::Method::Nothing,
        Method::Tail => driver::Method::Tail,
        Method::Delta => driver::Method::Delta,
        Method::Reconcile => driver::Method::Reconcile,
        Method::Copy => driver::Method::Copy,
    }
}

/// What was not chosen. A target is not told what the others would have cost: only the source knows.
fn alternatives(status: &PeerStatus, item: usize) -> Vec<Alternative> {
    let others = status.alternatives.get(item).into_iter().flatten();
    others.map(|one| Alternative { method: method(one.method), bytes: one.bytes, why_not: one.why_not.to_owned() }).collect()
}

/// The newest plan of a session; none before a peer has introduced itself.
pub(super) fn plan(status: &PeerStatus) -> Option<Plan> {
    let items = status.plan.iter().enumerate().map(|(index, item)| PlanItem {
        fragment: item.fragment.0,
        method: method(item.method),
        entries: item.entries,
        bytes: item.bytes,
        reason: item.reason.clone(),
        alternatives: alternatives(status, index),
    });
    Some(Plan { peer: status.name.clone()?, session: (status.session != 0).then(|| hex64(status.session)), items: items.collect() })
}

/// A transfer that ended.
pub(super) fn transfer(record: &TransferRecord) -> Transfer {
    Transfer {
        kind: match record.kind {
            TransferKind::CatchUp => Kind::CatchUp,
            TransferKind::Repair => Kind::Repair,
        },
        peer: record.peer.clone(),
        session: hex64(record.session),
        direction: match (record.kind, record.peer_role) {
            (TransferKind::CatchUp, PeerRole::Standby) => Direction::Sent,
            (TransferKind::CatchUp, PeerRole::Owner) | (TransferKind::Repair, _) => Direction::Received,
        },
        method: method(record.method),
        why: record.why.clone(),
        outcome: match &record.failure {
            None => Outcome::Installed,
            Some((code, detail)) => Outcome::Cut { code: (*code).to_owned(), detail: detail.clone() },
        },
        entries: record.entries,
        planned_bytes: record.planned_bytes,
        moved_bytes: record.moved_bytes,
        handshake_bytes: record.handshake_bytes,
        sent_again_bytes: record.sent_again_bytes,
        full_copy_bytes: record.full_copy_bytes,
        seconds: record.seconds,
        cpu_seconds: cpu_seconds(record.cpu_seconds),
        ended_ms: millis(record.ended),
    }
}

fn cpu_seconds(cpu: limosa_node::transport::CpuSeconds) -> CpuSeconds {
    CpuSeconds { socket: cpu.socket, tls: cpu.tls, codec: cpu.codec, state: cpu.state, journal: cpu.journal, other: cpu.other }
}

/// Damage of the node's disk, its first blocks one by one.
pub(super) fn damage(store: &Store, repaired: u64) -> Damage {
    const SHOWN_MAX: usize = 16;
    let all = store.damage();
    let one = |block: &limosa_store::DamagedBlock| DamagedBlock {
        fragment: block.fragment.0,
        first_key: block.range.start.iter().map(|byte| format!("{byte:02x}")).collect(),
        entries: block.live,
        why: block.why.clone(),
    };
    Damage { damaged: all.len() as u64, blocks: all.iter().take(SHOWN_MAX).map(one).collect(), repaired }
}

/// What node, store and sessions counted. The client door's figures are not among them.
pub(super) fn counts(node: &Node) -> Counts {
    let (stats, totals) = (node.store().stats(), node.registry().totals());
    let mut counts = Counts {
        commits: stats.horizon.0,
        horizon: stats.horizon.0,
        durable: stats.flushed.0.min(stats.horizon.0),
        journal_written_bytes: stats.journal_bytes,
        journal_flushes: stats.flushes,
        checkpoints: stats.checkpoints,
        entries: stats.live,
        live_bytes: stats.live_bytes,
        tombstones: stats.tombstones,
        leases: node.store().leases().len() as u64,
        memory_max: stats.memory_max,
        memory: [stats.memory.blocks, stats.memory.places, stats.memory.pending, stats.memory.ring, stats.memory.cache],
        memory_dirty: stats.memory.dirty,
        blocks_resident: stats.blocks_resident,
        blocks_dropped: stats.blocks_dropped,
        blocks_read: stats.blocks_read,
        spilled_bytes: stats.spilled_bytes,
        transfers_cut: totals.transfers_cut,
        frames: [totals.frames_sent, totals.frames_received],
        sent_again_bytes: totals.sent_again_bytes,
        refusals: totals.refusals,
        stale_frames: totals.stale_frames,
        drifts: totals.drifts,
        reframes: [stats.splits, stats.merges],
        reframed_s: stats.reframed_ms / 1000,
        damaged_blocks: stats.damaged,
        repaired_blocks: totals.repaired_blocks,
        repaired_bytes: totals.repaired_bytes,
        certificate_expiry_s: node.tls().valid_until().duration_since(SystemTime::now()).map_or(0, |left| left.as_secs()),
        ..Counts::default()
    };
    for method in Method::ALL {
        let sums = totals.of(back(method));
        counts.transfers[method] = sums.transfers;
        counts.transfer_bytes[method] = sums.bytes;
        counts.transfer_entries[method] = sums.entries;
    }
    for peer in node.registry().peers() {
        count_peer(&mut counts, &peer, node.store());
    }
    counts
}

fn count_peer(counts: &mut Counts, peer: &PeerStatus, store: &Store) {
    let (received, sent, handshakes) = peer.socket_bytes();
    counts.peer_bytes[0] += sent;
    counts.peer_bytes[1] += received;
    counts.handshake_bytes += handshakes;
    counts.peers_connected += u64::from(peer.connected);
    if peer.role == PeerRole::Standby {
        let commits = counts.horizon.saturating_sub(peer.acknowledged);
        counts.peers.push(PeerLag { peer: peer.name.clone().unwrap_or_default(), commits, bytes: lag_bytes(peer, store) });
    }
}

/// For whom deletions are remembered.
pub(super) fn leases(node: &Node) -> Vec<Lease> {
    let heads: std::collections::BTreeMap<_, _> = node.store().facts().into_iter().map(|facts| (facts.id, facts.head)).collect();
    let view = |lease: limosa_store::LeaseFacts| {
        let behind = lease.held.iter().filter(|(id, held)| heads.get(id).is_some_and(|head| *held < head)).count();
        Lease {
            peer: lease.peer,
            incarnation: hex64(lease.incarnation),
            renewed_ms: lease.renewed_ms,
            ends_ms: lease.ends_ms,
            fragments_behind: behind as u64,
        }
    };
    node.store().leases().into_iter().map(view).collect()
}

/// Milliseconds since 1970.
pub(super) fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
