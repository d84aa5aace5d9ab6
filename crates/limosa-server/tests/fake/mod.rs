//! A node that holds fixed answers and remembers what it was asked: stands behind the HTTP door in tests of the door and of the command line.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use limosa_core::{FragmentFacts, Retry, fragment::hashed_ranges};
use limosa_server::config::HostPort;
use limosa_server::http::api::{
    Acknowledged, Alternative, Checkpointed, CpuSeconds, Damage, DamagedBlock, Difference, Direction, Dropped, DurabilityWord, Flushed,
    Followed, Fragment, FragmentTotals, Kind, Listening, Memory, Method, Outcome, Peer, PeerState, PeersReset, Plan, PlanItem, Progress,
    Promoted, QuarantineFile, QuarantinePage, Readiness, Reapplied, Reapply, Refused, Role, Scrubbed, Status, Transfer, Verification,
    Version, hex64,
};
use limosa_server::http::{Answer, Control, ControlError, Turn};
use limosa_server::metrics::Counts;

mod cluster;

/// The node.
#[derive(Default)]
pub(crate) struct FakeNode {
    /// Calls that change something, in order.
    pub(crate) calls: Mutex<Vec<String>>,
    /// Not ready, when set.
    pub(crate) waiting: AtomicBool,
    /// Verifications find a difference, when set.
    pub(crate) diverged: AtomicBool,
    /// Changing calls are refused, when set.
    pub(crate) refusing: AtomicBool,
}

impl FakeNode {
    pub(crate) fn change<T>(&self, call: &str, answer: T) -> Answer<T> {
        self.calls.lock().expect("no test panics inside").push(call.to_owned());
        if self.refusing.load(Ordering::Relaxed) {
            return Err(ControlError {
                turn: Turn::Refused,
                code: "control.not_a_standby",
                message: "this node is an owner already".to_owned(),
                action: "nothing is to be done".to_owned(),
                retry: Retry::Never,
            });
        }
        Ok(answer)
    }

    /// Changing calls so far.
    pub(crate) fn called(&self) -> Vec<String> {
        self.calls.lock().expect("no test panics inside").clone()
    }
}

fn transfer() -> Transfer {
    Transfer {
        kind: Kind::CatchUp,
        peer: "b".to_owned(),
        session: hex64(7),
        direction: Direction::Sent,
        method: Method::Delta,
        why: "1,204 commits behind, more than the ring holds".to_owned(),
        outcome: Outcome::Installed,
        entries: 1_000,
        planned_bytes: 1_050_000,
        moved_bytes: 1_041_234,
        handshake_bytes: 5_120,
        sent_again_bytes: 0,
        full_copy_bytes: 104_000_000,
        seconds: 0.25,
        cpu_seconds: CpuSeconds::default(),
        ended_ms: 1_790_000_000_000,
    }
}

fn peer() -> Peer {
    Peer {
        name: Some("b".to_owned()),
        address: "127.0.0.1:7611".to_owned(),
        role: "standby".to_owned(),
        state: PeerState::Transferring,
        blocked_because: None,
        session: Some(hex64(8)),
        acknowledged: Some(40),
        lag_commits: 2,
        lag_bytes: 2_048,
        progress: Some(Progress {
            method: Method::Delta,
            phase: "sending frames".to_owned(),
            bytes_done: 1 << 20,
            bytes_total: 4 << 20,
            rate_bytes_per_s: 1_048_576.0,
            eta_s: Some(3.0),
        }),
        moved_bytes_in: 1_000,
        moved_bytes_out: 2_000_000,
        handshake_bytes: 5_120,
        last_transfer: Some(transfer()),
    }
}

impl Control for FakeNode {
    async fn status(&self) -> Answer<Status> {
        Ok(Status {
            node: "a".to_owned(),
            cluster: "00".repeat(16),
            role: Role::Owner,
            incarnation: hex64(u64::MAX),
            version: "0.1.0".to_owned(),
            durability: DurabilityWord::Commit,
            uptime_s: 61.5,
            listening: Listening { resp: "127.0.0.1:7600".into(), peer: "127.0.0.1:7601".into(), http: "127.0.0.1:7602".into() },
            head: 42,
            durable: 42,
            fragments: FragmentTotals { count: 2, entries: 3, bytes: 4_096, tombstones: 1 },
            memory: Memory::default(),
            quarantined: 0,
            leases: Vec::new(),
            clustered: true,
            damage: Damage {
                damaged: 1,
                blocks: vec![DamagedBlock {
                    fragment: 1,
                    first_key: "6b".to_owned(),
                    entries: 60,
                    why: "its checksum is another".to_owned(),
                }],
                repaired: 2,
            },
            peers: vec![peer()],
        })
    }

    fn readiness(&self) -> Readiness {
        if self.waiting.load(Ordering::Relaxed) { Readiness::waiting("first copy from the owner is under way") } else { Readiness::ready() }
    }

    fn counts(&self) -> Counts {
        Counts { horizon: 42, commits: 42, ..Counts::default() }
    }

    async fn fragments(&self) -> Answer<Vec<Fragment>> {
        let facts = |(id, range)| FragmentFacts {
            id,
            range,
            head: limosa_core::Version::new(1, 42),
            state: limosa_core::Digest(1),
            content: limosa_core::Digest(2),
            live: 3,
            live_bytes: 4_096,
            tombstones: 1,
            floor: limosa_core::Version::ZERO,
            epochs: limosa_core::History::default(),
        };
        let acknowledged = || vec![Acknowledged { peer: "b".to_owned(), version: Some(Version { epoch: 1, seq: 40 }) }];
        Ok(hashed_ranges(2).into_iter().map(|one| Fragment::new(&facts(one), limosa_core::Version::new(1, 42), acknowledged())).collect())
    }

    async fn plan(&self) -> Answer<Vec<Plan>> {
        let alternatives = vec![
            Alternative { method: Method::Tail, bytes: None, why_not: "commits behind 1.40 are no longer held".to_owned() },
            Alternative { method: Method::Copy, bytes: Some(104_000_000), why_not: "a common version is known".to_owned() },
        ];
        let reason = "both ends have version 1.40".to_owned();
        let item = PlanItem { fragment: 1, method: Method::Delta, entries: 1_000, bytes: 1_050_000, reason, alternatives };
        Ok(vec![Plan { peer: "b".to_owned(), session: Some(hex64(8)), items: vec![item] }])
    }

    async fn transfers(&self) -> Answer<Vec<Transfer>> {
        Ok(vec![transfer()])
    }

    async fn verify(&self, peer: Option<String>) -> Answer<Vec<Verification>> {
        let version = Version { epoch: 1, seq: 42 };
        let difference =
            Difference { fragment: 1, here: version, there: version, here_digest: "01".repeat(16), there_digest: "02".repeat(16) };
        let diverged = self.diverged.load(Ordering::Relaxed);
        Ok(vec![Verification {
            peer: peer.unwrap_or_else(|| "b".to_owned()),
            agree: !diverged,
            compared: 2,
            position: 42,
            differing: if diverged { vec![difference] } else { Vec::new() },
            scrub_age_s: Some(12.0),
        }])
    }

    async fn quarantine(&self) -> Answer<Vec<QuarantineFile>> {
        let why = "diverged from owner a after version 1.40".to_owned();
        Ok(vec![QuarantineFile { name: "tail-1.jsonl".to_owned(), written_ms: 1_790_000_000_000, records: 2, bytes: 300, why }])
    }

    async fn quarantined(&self, name: String, first: u64, count: u64) -> Answer<QuarantinePage> {
        let records =
            (first..2).take(usize::try_from(count).expect("a page fits")).map(|i| serde_json::json!({"key": format!("k{i}")})).collect();
        Ok(QuarantinePage { name, first, records, more: first + count < 2 })
    }

    async fn reapply(&self, records: Reapply) -> Answer<Reapplied> {
        let keys: Vec<String> = records.records.iter().filter_map(|record| Some(record["key"].as_str()?.to_owned())).collect();
        let refused = |key: &String| Refused { key: key.clone(), why: "it was changed at 2.7".to_owned() };
        let (gone, kept): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| key == "k1" && self.diverged.load(Ordering::Relaxed));
        let answer = Reapplied { applied: kept.clone(), unchanged: Vec::new(), refused: gone.iter().map(refused).collect() };
        self.change(&format!("reapply {}", kept.join(" ")), answer)
    }

    async fn drop_quarantined(&self, name: String) -> Answer<Dropped> {
        self.change(&format!("drop {name}"), Dropped { name, records: 2 })
    }

    async fn promote(&self) -> Answer<Promoted> {
        self.change("promote", Promoted { epoch: 2 })
    }

    async fn follow(&self, owner: HostPort) -> Answer<Followed> {
        self.change(&format!("follow {owner}"), Followed { owner: owner.to_string() })
    }

    async fn reset_peers(&self) -> Answer<PeersReset> {
        self.change("reset", PeersReset { dropped: 1 })
    }

    async fn flush(&self) -> Answer<Flushed> {
        self.change("flush", Flushed { position: 42 })
    }

    async fn checkpoint(&self) -> Answer<Checkpointed> {
        self.change("checkpoint", Checkpointed { position: 42, blocks: 1, bytes: 4_096, seconds: 0.01 })
    }

    async fn scrub(&self) -> Answer<Scrubbed> {
        self.change("scrub", Scrubbed { fragments: 2, entries: 3, seconds: 0.01 })
    }
}
