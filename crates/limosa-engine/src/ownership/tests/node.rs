//! A model of one node: a process with its machine, sessions and rule of acknowledgement, over a disk that outlives it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use limosa_core::{FragmentId, NodeName, Version};
use limosa_wire::Purpose;

use super::disk::{Disk, Written};
use crate::ownership::{Action, Config, Count, Event, Gate, Ownership, Standing};

/// A session that this node keeps with a source.
#[derive(Clone, Debug)]
pub(super) struct Sess {
    pub(super) from: NodeName,
    pub(super) purpose: Purpose,
    pub(super) epoch_max: u32,
    pub(super) is_live: bool,
}

/// What dies with the process.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) machine: Ownership,
    pub(super) gates: BTreeMap<FragmentId, Gate>,
    pub(super) sessions: BTreeMap<FragmentId, Sess>,
    pub(super) counts: BTreeMap<FragmentId, Count>,
    /// What followers are known to have flushed, while their sessions live.
    pub(super) flushed: BTreeMap<(FragmentId, NodeName), Version>,
    /// Writes whose clients wait.
    pub(super) waiting: Vec<(FragmentId, Written)>,
    pub(super) digests: BTreeMap<FragmentId, Version>,
    pub(super) out: VecDeque<Action>,
    pub(super) inbox: VecDeque<Event>,
    /// Revision of the newest cell that the watch has told.
    pub(super) watched: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) config: Config,
    pub(super) disk: Disk,
    pub(super) process: Option<Process>,
    pub(super) restart_at: Option<Duration>,
    pub(super) stalled_until: Duration,
    /// No link to its peers, or to the manifest, until then.
    pub(super) cut_until: Duration,
    pub(super) manifest_away_until: Duration,
    pub(super) starts: u64,
}

impl Node {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            disk: Disk::default(),
            process: None,
            restart_at: Some(Duration::ZERO),
            stalled_until: Duration::ZERO,
            cut_until: Duration::ZERO,
            manifest_away_until: Duration::ZERO,
            starts: 0,
        }
    }

    pub(super) fn start(&mut self, now: Duration) {
        self.starts += 1;
        self.restart_at = None;
        let config = Config { seed: self.config.seed.wrapping_mul(31).wrapping_add(self.starts), ..self.config.clone() };
        let machine = Ownership::new(now, config, &self.disk.held());
        self.process = Some(Process {
            machine,
            gates: BTreeMap::new(),
            sessions: BTreeMap::new(),
            counts: BTreeMap::new(),
            flushed: BTreeMap::new(),
            waiting: Vec::new(),
            digests: BTreeMap::new(),
            out: VecDeque::new(),
            inbox: VecDeque::new(),
            watched: 0,
        });
    }

    /// Whether a read would be answered now.
    pub(super) fn serves(&self, fragment: FragmentId, now: Duration) -> bool {
        let Some(process) = &self.process else { return false };
        let is_open = process.gates.get(&fragment) == Some(&Gate::Serving);
        let standing = process.machine.standing(fragment);
        is_open && matches!(standing, Standing::Serving { until, .. } if until.is_none_or(|until| now < until))
    }
}

impl Process {
    pub(super) fn is_idle(&self) -> bool {
        self.out.is_empty() && self.inbox.is_empty()
    }

    /// Answers the clients whose writes enough members have flushed. Those that were promised nothing are not told of.
    pub(super) fn acknowledge(&mut self) -> Vec<(FragmentId, Written)> {
        let (counts, flushed) = (&self.counts, &self.flushed);
        let mut acknowledged = Vec::new();
        self.waiting.retain(|(fragment, write)| {
            let Some(count) = counts.get(fragment) else { return true };
            let has = |node: &&NodeName| flushed.get(&(*fragment, (*node).clone())).is_some_and(|version| *version >= write.0);
            let have = count.members.iter().filter(has).count();
            if have < count.needed {
                return true;
            }
            if count.needed > 0 {
                acknowledged.push((*fragment, *write));
            }
            false
        });
        acknowledged
    }
}
