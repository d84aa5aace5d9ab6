//! What all fragments of the machine share: the time, the peers, the actions on their way out, alarms, beats.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use limosa_core::{FragmentId, Intent, NodeName};
use limosa_wire::{OwnershipMessage, Renewal};

use super::action::Action;
use super::config::Config;
use super::event::NodeState;
use super::report::Report;

/// Most fragments in one message.
const FRAGMENTS_PER_MESSAGE: usize = 4096;

/// A beat whose answer may come.
#[derive(Clone, Debug)]
pub(super) struct Beat {
    pub(super) to: NodeName,
    pub(super) sent_at: Duration,
    pub(super) fragments: Vec<(FragmentId, u32)>,
}

/// What is gathered for one peer until the end of a turn.
#[derive(Clone, Debug, Default)]
struct Mail {
    renew: BTreeMap<FragmentId, Renewal>,
    doubt: BTreeMap<FragmentId, u32>,
    doubted: BTreeMap<FragmentId, u32>,
}

/// Beside the fragments.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) now: Duration,
    /// When the machine began: a member that restarted counts in no fence for one lease.
    pub(super) started_at: Duration,
    /// (Unix milliseconds, the machine's time then).
    clock: Option<(u64, Duration)>,
    pub(super) nodes: BTreeMap<NodeName, NodeState>,
    pub(super) connected: BTreeSet<NodeName>,
    /// Fragments whose move copies, and those that are parked for its last step: the budgets.
    pub(super) copying: BTreeSet<FragmentId>,
    pub(super) cutting: BTreeSet<FragmentId>,
    /// Fragments to look at in this turn.
    pub(super) dirty: BTreeSet<FragmentId>,
    pub(super) beats: BTreeMap<u64, Beat>,
    beats_sent: u64,
    out: VecDeque<Action>,
    mail: BTreeMap<NodeName, Mail>,
    alarms: BTreeSet<(Duration, FragmentId)>,
    alarm_of: BTreeMap<FragmentId, Duration>,
    /// The earliest moment that the fragment being looked at asked for.
    wake: Option<Duration>,
    random: u64,
}

impl Shared {
    pub(super) fn new(config: Config, now: Duration) -> Self {
        let random = config.seed;
        Self {
            config,
            now,
            started_at: now,
            clock: None,
            nodes: BTreeMap::new(),
            connected: BTreeSet::new(),
            copying: BTreeSet::new(),
            cutting: BTreeSet::new(),
            dirty: BTreeSet::new(),
            beats: BTreeMap::new(),
            beats_sent: 0,
            out: VecDeque::new(),
            mail: BTreeMap::new(),
            alarms: BTreeSet::new(),
            alarm_of: BTreeMap::new(),
            wake: None,
            random,
        }
    }

    pub(super) fn push(&mut self, action: Action) {
        self.out.push_back(action);
    }

    pub(super) fn report(&mut self, report: Report) {
        self.out.push_back(Action::Report(report));
    }

    pub(super) fn send(&mut self, to: &NodeName, message: OwnershipMessage) {
        self.out.push_back(Action::Send { to: to.clone(), message });
    }

    pub(super) fn poll(&mut self) -> Option<Action> {
        self.out.pop_front()
    }

    /// The next of the seeded ids (splitmix64).
    pub(super) fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(super) fn intent(&mut self) -> Intent {
        Intent(self.draw())
    }

    // ---- Time.

    pub(super) fn set_clock(&mut self, unix_ms: u64) {
        self.clock = Some((unix_ms, self.now));
    }

    /// What the wall's clock says, as far as it is known.
    pub(super) fn unix_ms(&self) -> u64 {
        let (unix_ms, at) = self.clock.unwrap_or((0, Duration::ZERO));
        unix_ms + u64::try_from(self.now.saturating_sub(at).as_millis()).unwrap_or(u64::MAX / 2)
    }

    /// The fragment being looked at wants to be looked at again then.
    pub(super) fn wake_at(&mut self, at: Duration) {
        if at > self.now {
            self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
        }
    }

    /// True once `since + after` has come; else the fragment is looked at again then.
    pub(super) fn is_past(&mut self, since: Duration, after: Duration) -> bool {
        let at = since.saturating_add(after);
        self.wake_at(at);
        self.now >= at
    }

    pub(super) fn begin(&mut self) {
        self.wake = None;
    }

    /// Sets the alarm of the fragment that was looked at.
    pub(super) fn end(&mut self, fragment: FragmentId) {
        if let Some(old) = self.alarm_of.remove(&fragment) {
            self.alarms.remove(&(old, fragment));
        }
        if let Some(at) = self.wake.take() {
            self.alarms.insert((at, fragment));
            self.alarm_of.insert(fragment, at);
        }
    }

    /// Fragments whose moment has come are looked at.
    pub(super) fn ring(&mut self) {
        while let Some(&(at, fragment)) = self.alarms.first().filter(|(at, _)| *at <= self.now) {
            self.alarms.remove(&(at, fragment));
            self.alarm_of.remove(&fragment);
            self.dirty.insert(fragment);
        }
    }

    pub(super) fn next_alarm(&self) -> Option<Duration> {
        self.alarms.first().map(|(at, _)| *at)
    }

    // ---- Mail: what many fragments say to one peer goes in one message.

    pub(super) fn renew(&mut self, to: &NodeName, renewal: Renewal) {
        self.mail.entry(to.clone()).or_default().renew.insert(renewal.fragment, renewal);
    }

    pub(super) fn doubt(&mut self, to: &NodeName, fragment: FragmentId, epoch: u32) {
        self.mail.entry(to.clone()).or_default().doubt.insert(fragment, epoch);
    }

    pub(super) fn agree(&mut self, to: &NodeName, fragment: FragmentId, epoch: u32) {
        self.mail.entry(to.clone()).or_default().doubted.insert(fragment, epoch);
    }

    /// Ends a turn: what was gathered is sent.
    pub(super) fn post(&mut self) {
        for (to, mail) in std::mem::take(&mut self.mail) {
            let renewals: Vec<Renewal> = mail.renew.into_values().collect();
            for fragments in renewals.chunks(FRAGMENTS_PER_MESSAGE) {
                self.beat(&to, fragments);
            }
            let lists = |owned: BTreeMap<FragmentId, u32>| {
                let owned: Vec<(FragmentId, u32)> = owned.into_iter().collect();
                owned.chunks(FRAGMENTS_PER_MESSAGE).map(<[_]>::to_vec).collect::<Vec<_>>()
            };
            for fragments in lists(mail.doubt) {
                self.send(&to, OwnershipMessage::Doubt { fragments });
            }
            for fragments in lists(mail.doubted) {
                self.send(&to, OwnershipMessage::Doubted { fragments });
            }
        }
    }

    fn beat(&mut self, to: &NodeName, renewals: &[Renewal]) {
        let too_old = self.now.saturating_sub(self.config.lease);
        self.beats.retain(|_, beat| beat.sent_at >= too_old);
        self.beats_sent += 1;
        let fragments = renewals.iter().map(|renewal| (renewal.fragment, renewal.epoch)).collect();
        self.beats.insert(self.beats_sent, Beat { to: to.clone(), sent_at: self.now, fragments });
        self.send(to, OwnershipMessage::Renew { beat: self.beats_sent, fragments: renewals.to_vec() });
    }

    // ---- Nodes.

    pub(super) fn is_leaving(&self, node: &NodeName) -> bool {
        self.nodes.get(node).is_some_and(|state| state.is_leaving)
    }
}
