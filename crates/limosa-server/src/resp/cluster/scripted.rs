//! A cluster in memory whose owner a script moves: for tests and examples, where several front doors stand over one store.
//!
//! Slots are owned in equal runs; [`Script::hand_over`] parks a run at every door, as the two ends of a real move do, and then shows its
//! new owner. Acknowledged positions are what the script says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use limosa_core::FragmentId;
use limosa_core::slot::SLOTS;
use tokio::sync::watch;

use super::picture::{NodeRef, Picture, SlotRange, Standing, node_id};
use super::seam::{Acked, Cluster};

/// The whole cluster: what every node's picture is drawn from.
pub struct Script {
    state: Mutex<State>,
    pictures: Vec<watch::Sender<Option<Arc<Picture>>>>,
    progress: watch::Sender<u64>,
}

struct State {
    nodes: Vec<NodeRef>,
    runs: Vec<Run>,
    staleness: Option<Duration>,
    acked: BTreeMap<FragmentId, u64>,
    /// How each stint of a fragment ended: whether it was given away.
    stints: BTreeMap<FragmentId, Vec<bool>>,
    has_lease: bool,
    slowed_per_mille: u16,
}

struct Run {
    owner: usize,
    replicas: Vec<usize>,
    epoch: u32,
    is_parked: bool,
    is_down: bool,
}

/// The cluster as one of its nodes sees it.
pub struct Scripted {
    script: Arc<Script>,
    node: usize,
}

impl Script {
    /// A cluster of nodes at these client addresses, its slots in `fragments` equal runs that the nodes own in turn.
    ///
    /// # Panics
    /// When there is no node, or not 1 to 16384 fragments.
    pub fn new(addresses: &[(&str, u16)], fragments: u16) -> Arc<Self> {
        assert!(!addresses.is_empty() && (1..=SLOTS).contains(&fragments), "a cluster has nodes and fragments");
        let node = |(index, (host, port)): (usize, &(&str, u16))| {
            let name = format!("node{index}");
            NodeRef { id: node_id(&name, 1), name, host: (*host).to_owned(), port: *port, peer_port: 0, linked_since_ms: Some(0) }
        };
        let nodes: Vec<_> = addresses.iter().enumerate().map(node).collect();
        let owner = |run: u16| usize::from(run) % nodes.len();
        let runs =
            (0..fragments).map(|run| Run { owner: owner(run), replicas: vec![], epoch: 1, is_parked: false, is_down: false }).collect();
        let pictures = nodes.iter().map(|_| watch::Sender::new(None)).collect();
        let state = Mutex::new(State {
            nodes,
            runs,
            staleness: None,
            acked: BTreeMap::new(),
            stints: BTreeMap::new(),
            has_lease: true,
            slowed_per_mille: 0,
        });
        let script = Arc::new(Self { state, pictures, progress: watch::Sender::new(0) });
        script.change(|_| {});
        script
    }

    /// The cluster as node `index` sees it.
    pub fn node(self: &Arc<Self>, index: usize) -> Arc<Scripted> {
        Arc::new(Scripted { script: self.clone(), node: index })
    }

    /// From now on requests for run `run` wait at the owner; a node that is to become owner waits too.
    pub fn park(&self, run: usize) {
        self.change(|state| state.runs[run].is_parked = true);
    }

    /// The run is served by `owner`, under the next epoch; the old owner becomes its standby.
    pub fn hand_over(&self, run: usize, owner: usize) {
        self.change(|state| {
            let run = &mut state.runs[run];
            let old = std::mem::replace(&mut run.owner, owner);
            run.replicas = if old == owner { vec![] } else { vec![old] };
            run.epoch += 1;
            (run.is_parked, run.is_down) = (false, false);
        });
    }

    /// Nobody can serve the run, or somebody can again.
    pub fn set_down(&self, run: usize, is_down: bool) {
        self.change(|state| state.runs[run].is_down = is_down);
    }

    /// A node gives no sign of life, or does again.
    pub fn set_silent(&self, node: usize, is_silent: bool) {
        self.change(|state| state.nodes[node].linked_since_ms = (!is_silent).then_some(0));
    }

    /// What standbys say of themselves; `None`: that they can't tell.
    pub fn set_staleness(&self, staleness: Option<Duration>) {
        self.state().staleness = staleness;
    }

    /// The commits of `fragment` up to `position` are acknowledged; a fragment without such a word is acknowledged at once.
    pub fn set_acked(&self, fragment: FragmentId, position: u64) {
        self.state().acked.insert(fragment, position);
        self.progress.send_modify(|count| *count += 1);
    }

    /// The fragment left its owner, by a move or otherwise, and is served there again.
    pub fn end_stint(&self, fragment: FragmentId, is_given: bool) {
        self.state().stints.entry(fragment).or_default().push(is_given);
        self.progress.send_modify(|count| *count += 1);
    }

    /// By how much writers are to be slowed.
    pub fn set_slowed(&self, share_per_mille: u16) {
        self.state().slowed_per_mille = share_per_mille;
    }

    /// Whether owners may answer reads.
    pub fn set_lease(&self, has_lease: bool) {
        self.state().has_lease = has_lease;
    }

    /// Number of runs.
    pub fn runs(&self) -> usize {
        self.state().runs.len()
    }

    /// Who owns run `run`.
    pub fn owner(&self, run: usize) -> usize {
        self.state().runs[run].owner
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        for (node, picture) in self.pictures.iter().enumerate() {
            picture.send_replace(Some(Arc::new(state.picture(node))));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn picture(&self, node: usize) -> Picture {
        let count = u16::try_from(self.runs.len()).expect("at most 16384");
        let first = |run: u16| u16::try_from(u32::from(SLOTS) * u32::from(run) / u32::from(count)).expect("at most 16384");
        let range = |(run, index): (&Run, u16)| SlotRange {
            first: first(index),
            last: first(index + 1) - 1,
            fragment: FragmentId(u32::from(index)),
            epoch: run.epoch,
            owner: Some(run.owner),
            replicas: run.replicas.clone(),
            standing: run.standing(node),
        };
        Picture::new(self.nodes.clone(), node, self.runs.iter().zip(0..count).map(range).collect())
    }
}

impl Run {
    fn standing(&self, node: usize) -> Standing {
        match () {
            () if self.is_down => Standing::Down("a script says so".into()),
            () if self.is_parked => Standing::Park,
            () if self.owner == node => Standing::Serve,
            () if self.replicas.contains(&node) => Standing::Replica,
            () => Standing::Moved,
        }
    }
}

impl Cluster for Scripted {
    fn pictures(&self) -> watch::Receiver<Option<Arc<Picture>>> {
        self.script.pictures[self.node].subscribe()
    }

    fn staleness(&self, fragment: FragmentId) -> Option<Duration> {
        let state = self.script.state();
        let run = state.runs.get(usize::try_from(fragment.0).ok()?)?;
        if run.owner == self.node { Some(Duration::ZERO) } else { state.staleness }
    }

    fn stint(&self, fragment: FragmentId) -> u64 {
        self.script.state().stints.get(&fragment).map_or(0, |ended| ended.len() as u64)
    }

    fn acked(&self, fragment: FragmentId, stint: u64) -> Acked {
        let state = self.script.state();
        let how = usize::try_from(stint).ok().and_then(|stint| state.stints.get(&fragment)?.get(stint));
        match how {
            Some(true) => Acked::UpTo(u64::MAX),
            Some(false) => Acked::Unknown,
            None => Acked::UpTo(state.acked.get(&fragment).copied().unwrap_or(u64::MAX)),
        }
    }

    fn may_read(&self, fragment: FragmentId, stint: u64) -> bool {
        self.acked(fragment, stint) != Acked::Unknown && self.script.state().has_lease
    }

    fn slowed_per_mille(&self, _: FragmentId) -> u16 {
        self.script.state().slowed_per_mille
    }

    fn copies(&self, fragment: FragmentId, stint: u64, position: u64) -> usize {
        usize::from(matches!(self.acked(fragment, stint), Acked::UpTo(acked) if acked >= position))
    }

    fn ack_progress(&self) -> watch::Receiver<u64> {
        self.script.progress.subscribe()
    }
}
