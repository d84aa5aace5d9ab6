//! A node of a cluster: its disk, and its machine while the process lives.

use std::collections::BTreeMap;
use std::time::Duration;

use limosa_core::{FragmentId, NodeName, Version};
use limosa_engine::ownership::{Config, Count, Gate, HeldFragment, Ownership};
use limosa_wire::Purpose;

use super::chain::Chain;

/// How long an owner is believed.
const LEASE: Duration = Duration::from_secs(3);

pub(super) struct Member {
    pub(super) name: NodeName,
    /// The disk.
    pub(super) chains: BTreeMap<FragmentId, Chain>,
    /// The disk is not the one that the manifest knows.
    pub(super) is_reborn: bool,
    pub(super) life: Option<Life>,
    /// Counts starts.
    pub(super) lives: u64,
    pub(super) paused_until_us: u64,
    /// Its clock is off by so many millionths.
    pub(super) skew_ppm: i64,
}

/// What a process has in memory.
pub(super) struct Life {
    pub(super) machine: Ownership,
    pub(super) began_us: u64,
    pub(super) gates: BTreeMap<FragmentId, Gate>,
    pub(super) follows: BTreeMap<FragmentId, Follows>,
    pub(super) counts: BTreeMap<FragmentId, Count>,
    /// By fragment and follower: what it has, as far as its session told.
    pub(super) acknowledged: BTreeMap<(FragmentId, usize), Version>,
    /// Digests that wait for a version.
    pub(super) digests: BTreeMap<FragmentId, Version>,
    /// When the machine wants to be called again, at this node's own time.
    pub(super) tick_at: Duration,
}

/// A session that this node keeps.
#[derive(Clone, Debug)]
pub(super) struct Follows {
    pub(super) from: usize,
    pub(super) purpose: Purpose,
    pub(super) epoch_max: u32,
    pub(super) is_live: bool,
    pub(super) was_told: bool,
    /// Commits that are there of a transfer.
    pub(super) staged: usize,
}

impl Member {
    pub(super) fn new(name: NodeName, fragments: u32) -> Self {
        let chains = (0..fragments).map(|id| (FragmentId(id), Chain::default())).collect();
        Self { name, chains, is_reborn: false, life: None, lives: 0, paused_until_us: 0, skew_ppm: 0 }
    }

    /// This node's time since its start.
    pub(super) fn local(&self, now_us: u64) -> Duration {
        let passed = now_us - self.life.as_ref().map_or(now_us, |life| life.began_us);
        let skew = i128::from(passed) * i128::from(self.skew_ppm) / 1_000_000;
        Duration::from_micros(u64::try_from(i128::from(passed) + skew).unwrap_or(0))
    }

    /// When it is `local` at this node, by the world's time.
    pub(super) fn world_us(&self, local: Duration) -> u64 {
        let began = self.life.as_ref().map_or(0, |life| life.began_us);
        let local = u64::try_from(local.as_micros()).unwrap_or(u64::MAX / 4);
        let scaled = u128::from(local) * 1_000_000 / u128::try_from(1_000_000 + self.skew_ppm).unwrap_or(1);
        began.saturating_add(u64::try_from(scaled).unwrap_or(u64::MAX / 4)).saturating_add(1)
    }

    pub(super) fn start(&mut self, now_us: u64, seed: u64, standbys: usize) {
        self.lives += 1;
        let mut config = Config::new(self.name.clone(), seed, standbys, 1);
        config.lease = LEASE;
        config.reborn = self.is_reborn;
        config.absent_max = Duration::from_secs(20);
        config.move_max = Duration::from_secs(30);
        config.retain = Duration::from_mins(1);
        let held = |(fragment, chain): (&FragmentId, &Chain)| HeldFragment {
            fragment: *fragment,
            version: chain.held(),
            epoch: chain.row,
            fence: chain.fence,
        };
        let held: Vec<HeldFragment> = self.chains.iter().map(held).collect();
        self.life = Some(Life {
            machine: Ownership::new(Duration::ZERO, config, &held),
            began_us: now_us,
            gates: self.chains.keys().map(|fragment| (*fragment, Gate::Closed)).collect(),
            follows: BTreeMap::new(),
            counts: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            digests: BTreeMap::new(),
            tick_at: Duration::ZERO,
        });
    }
}

impl Life {
    /// The newest version that enough members have.
    pub(super) fn agreed(&self, fragment: FragmentId, own: Version, name_of: impl Fn(usize) -> NodeName) -> Version {
        let Some(count) = self.counts.get(&fragment) else { return Version::ZERO };
        if count.needed == 0 {
            return own;
        }
        let of_fragment = self.acknowledged.range((fragment, 0)..=(fragment, usize::MAX));
        let mut held: Vec<Version> =
            of_fragment.filter(|((_, node), _)| count.members.contains(&name_of(*node))).map(|(_, version)| *version).collect();
        held.sort_unstable_by(|a, b| b.cmp(a));
        held.get(count.needed - 1).copied().unwrap_or_default().min(own)
    }
}
