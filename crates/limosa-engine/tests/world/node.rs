//! One node: fragments, the commits that its ring still has, and a stage.

mod jobs;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use limosa_core::fragment::hashed_ranges;
use limosa_core::varint::{self, Reader};
use limosa_core::{
    Commit, Digest, EntryRef, EpochTable, Expiry, FragmentFacts, FragmentId, Frame, IntervalMap, KeyRange, Kind, LiveRef, Mode, Part,
    Scope, SpaceKeys, Version, key,
};
use limosa_engine::plan::Estimate;
use limosa_engine::source::{self, BlockRef, EntryId, TailRead, TailStart};
use limosa_engine::target::{self, StageState};
use limosa_tree::{Extract, Fragment, MergeEpoch};
use limosa_wire::{Live, Refusal, SealedFragment};

type Fragments = BTreeMap<FragmentId, Fragment>;

#[derive(Clone)]
struct Logged {
    position: u64,
    what: What,
}

#[derive(Clone)]
enum What {
    Commit { record: Vec<u8>, parts: Vec<(FragmentId, Version, Digest)> },
    Epochs(Vec<(FragmentId, EpochTable)>),
    Reframe(Reframe, Vec<(FragmentId, Version)>),
}

/// A split or merge, as this world writes it.
#[derive(Clone)]
enum Reframe {
    Split { fragment: FragmentId, at: Bytes, made: (FragmentId, FragmentId) },
    Merge { left: FragmentId, right: FragmentId, made: FragmentId, epoch: MergeEpoch },
}

impl Reframe {
    fn parents(&self) -> Vec<FragmentId> {
        match self {
            Self::Split { fragment, .. } => vec![*fragment],
            Self::Merge { left, right, .. } => vec![*left, *right],
        }
    }

    fn encode(&self) -> Bytes {
        let numbers = match self {
            Self::Split { fragment, at, made } => vec![1, fragment.0, u32::from(key::slot(at).expect("a slot")), made.0.0, made.1.0],
            Self::Merge { left, right, made, epoch } => vec![2, left.0, right.0, made.0, epoch.epoch, epoch.opener as u32],
        };
        numbers.into_iter().flat_map(u32::to_le_bytes).collect::<Vec<u8>>().into()
    }

    fn decode(bytes: &[u8]) -> Self {
        let numbers: Vec<u32> = bytes.as_chunks::<4>().0.iter().map(|number| u32::from_le_bytes(*number)).collect();
        let id = |i: usize| FragmentId(numbers[i]);
        match numbers[0] {
            1 => {
                let at = Bytes::copy_from_slice(&key::slot_start(u16::try_from(numbers[2]).expect("a slot")));
                Self::Split { fragment: id(1), at, made: (id(3), id(4)) }
            }
            _ => {
                let epoch = MergeEpoch { epoch: numbers[4], opener: u64::from(numbers[5]) };
                Self::Merge { left: id(1), right: id(2), made: id(3), epoch }
            }
        }
    }
}

#[derive(Clone)]
struct Stage {
    starts: BTreeMap<FragmentId, IntervalMap>,
    maps: BTreeMap<FragmentId, IntervalMap>,
    fork: Fragments,
}

/// What survives a crash once it is flushed.
#[derive(Clone)]
struct State {
    fragments: Fragments,
    stage: Option<Stage>,
    log: VecDeque<Logged>,
    /// The log lacks what is up to here.
    trimmed: u64,
    position: u64,
}

/// A disk's content.
pub struct Image(State);

pub struct Node {
    now: State,
    flushed: State,
    ring_commits: usize,
    cut: Option<(u64, Fragments)>,
    tail: Option<u64>,
    tail_scope: Scope,
    /// Rows that the tail's reader lacks: told with the first batch.
    lead: Vec<(FragmentId, EpochTable)>,
    next_id: u32,
    seed: u64,
    /// Keys written to the quarantine file, in order.
    pub set_aside: Vec<Vec<u8>>,
    /// (key, version) of every entry that this node sent in frames or commits, with how often.
    pub sent: BTreeMap<(Vec<u8>, Version), u32>,
    /// Entries put into frames since the counter was reset.
    pub frame_entries: u64,
}

pub fn keys() -> Arc<SpaceKeys> {
    Arc::new(SpaceKeys::derive(&[3; 32], "default"))
}

fn live(value: &[u8]) -> LiveRef<'_> {
    LiveRef { kind: Kind::STRING, expiry: Expiry::NEVER, value }
}

impl Node {
    pub fn new(fragments: u16, seed: u64) -> Self {
        let all = hashed_ranges(fragments).into_iter().map(|(id, range)| (id, Fragment::new(id, range, keys()))).collect();
        let state = State { fragments: all, stage: None, log: VecDeque::new(), trimmed: 0, position: 0 };
        Self {
            flushed: state.clone(),
            now: state,
            ring_commits: usize::MAX,
            cut: None,
            tail: None,
            tail_scope: Scope::All,
            lead: Vec::new(),
            next_id: 1_000 * (1 + seed as u32 % 1_000_000), // each node makes ids of its own
            seed,
            set_aside: Vec::new(),
            sent: BTreeMap::new(),
            frame_entries: 0,
        }
    }

    /// Forgets deletions up to these versions, as far as this node has come.
    pub fn adopt_floors(&mut self, floors: &[(FragmentId, Version)]) {
        for (id, floor) in floors {
            // Floors are those of now: a split or merge before may still be on its way.
            let Some(fragment) = self.now.fragments.get_mut(id) else { continue };
            fragment.collect_tombstones((*floor).min(fragment.head())).expect("resident");
        }
    }

    fn floors(&self) -> Vec<(FragmentId, Version)> {
        self.now.fragments.values().map(|fragment| (fragment.id(), fragment.floor())).collect()
    }

    pub fn keep_commits(&mut self, commits: usize) {
        self.ring_commits = commits;
        self.trim();
    }

    pub fn open_epoch(&mut self, above: u32) {
        let newest = self.now.fragments.values().map(|f| f.epochs().epoch().max(f.head().epoch)).max().unwrap_or(0);
        let epoch = newest.max(above) + 1;
        self.seed += 1;
        let mut rows = Vec::new();
        for (id, fragment) in &mut self.now.fragments {
            fragment.open_epoch(epoch, self.seed);
            let row = *fragment.epochs().rows().last().expect("opened above");
            rows.push((*id, EpochTable::from_rows(vec![row]).expect("one row")));
        }
        self.log(What::Epochs(rows));
        self.flush();
    }

    /// Takes the history away, as `limosa store forget-history` does.
    pub fn forget_history(&mut self) {
        for fragment in self.now.fragments.values_mut() {
            fragment.set_epochs(EpochTable::default());
        }
        self.flush();
    }

    pub fn put(&mut self, user_key: &str, value: &str) {
        self.write(user_key, Some(live(value.as_bytes())));
    }

    pub fn delete(&mut self, user_key: &str) {
        self.write(user_key, None);
    }

    /// Writes a value that ends at a deadline.
    pub fn put_until(&mut self, user_key: &str, value: &str, deadline_ms: u64) {
        self.write(user_key, Some(LiveRef { expiry: Expiry::at(deadline_ms), ..live(value.as_bytes()) }));
    }

    /// Deletes what ended, as an owner does.
    pub fn expire(&mut self, now_ms: u64) {
        let ended: Vec<Vec<u8>> =
            self.now.fragments.values().flat_map(|f| f.expired(now_ms, usize::MAX).expect("resident")).map(Into::into).collect();
        for stored in ended {
            self.write_stored(&stored, None);
        }
    }

    /// Deletes everything in a range of stored keys, with one range delete on each fragment that it touches.
    pub fn delete_range(&mut self, range: &KeyRange) {
        let touched: Vec<_> = self.now.fragments.values().filter_map(|f| Some((f.id(), f.range().intersect(range)?))).collect();
        for (id, range) in touched {
            let fragment = &self.now.fragments[&id];
            let version = Version::new(fragment.epochs().epoch(), fragment.head().seq + 1);
            let range_deletes = vec![limosa_core::RangeDelete { range, version }];
            let commit = Commit { stamp_ms: 0, parts: vec![Part { fragment: id, version, range_deletes, entries: vec![] }] };
            let mut record = Vec::new();
            commit.encode(&mut record);
            self.apply(&commit, record);
        }
    }

    /// Forgets the deletions of about this share of each fragment's history, in per cent.
    pub fn collect(&mut self, percent: u64) {
        let at = |fragment: &Fragment| Version::new(fragment.head().epoch, fragment.head().seq * percent / 100);
        let floors: Vec<_> = self.now.fragments.values().map(|fragment| (fragment.id(), at(fragment))).collect();
        self.adopt_floors(&floors);
    }

    /// Changes a value in place, behind the back of versions: what rot or a bug would do.
    pub fn corrupt(&mut self, user_key: &str, value: &str) {
        let stored = key::stored(user_key.as_bytes());
        let fragment = self.fragment_of(&stored);
        let old = fragment.get(&stored).expect("resident").expect("there").as_ref().version;
        let range = KeyRange::new(stored.clone(), Some([&stored[..], &[0]].concat().into()));
        let mut columns = limosa_core::columns::ColumnsBuilder::default();
        columns.push(EntryRef { key: &stored, version: old, live: Some(live(value.as_bytes())) });
        let digest = keys().state(keys().content(&stored, live(value.as_bytes())), old);
        let (id, to) = (fragment.id(), fragment.head());
        let frame =
            Frame { fragment: id, mode: Mode::ReplaceKeys, range, from: to, to, range_deletes: vec![], entries: columns.finish(), digest };
        fragment.apply_frame(&frame, &[]).expect("a well-formed frame");
        self.flush();
    }

    fn write(&mut self, user_key: &str, live: Option<LiveRef<'_>>) {
        self.write_stored(&key::stored(user_key.as_bytes()), live);
    }

    fn write_stored(&mut self, stored: &[u8], live: Option<LiveRef<'_>>) {
        let fragment = self.fragment_of(stored);
        let version = Version::new(fragment.epochs().epoch(), fragment.head().seq + 1);
        let entries = vec![EntryRef { key: stored, version, live }];
        let part = Part { fragment: fragment.id(), version, range_deletes: vec![], entries };
        let commit = Commit { stamp_ms: 0, parts: vec![part] };
        let mut record = Vec::new();
        commit.encode(&mut record);
        self.apply(&commit, record);
    }

    fn fragment_of(&mut self, stored: &[u8]) -> &mut Fragment {
        self.now.fragments.values_mut().find(|fragment| fragment.range().contains(stored)).expect("fragments cover all keys")
    }

    fn apply(&mut self, commit: &Commit<'_>, record: Vec<u8>) {
        let mut parts = Vec::new();
        for part in &commit.parts {
            let fragment = self.now.fragments.get_mut(&part.fragment).expect("a known fragment");
            fragment.apply_part(part).expect("a contiguous part");
            parts.push((part.fragment, part.version, fragment.facts().state));
        }
        self.log(What::Commit { record, parts });
    }

    fn log(&mut self, what: What) {
        self.now.position += 1;
        self.now.log.push_back(Logged { position: self.now.position, what });
        self.trim();
    }

    fn trim(&mut self) {
        while self.now.log.len() > self.ring_commits {
            self.now.trimmed = self.now.log.pop_front().expect("it is not empty").position;
        }
    }

    fn forget_log(&mut self) {
        self.now.log.clear();
        self.now.trimmed = self.now.position;
    }

    /// Splits the fragment that holds the start of `slot`, unless one starts there.
    pub fn split(&mut self, slot: u16) {
        let at = Bytes::copy_from_slice(&key::slot_start(slot));
        let fragment = self.fragment_of(&at);
        if fragment.range().start == at {
            return;
        }
        let (fragment, made) = (fragment.id(), (self.new_id(), self.new_id()));
        self.reframe(&Reframe::Split { fragment, at, made });
    }

    /// Merges the fragment that holds the start of `slot` with the next one, if there is one.
    pub fn merge(&mut self, slot: u16) {
        let at = Bytes::copy_from_slice(&key::slot_start(slot));
        let (left, end) = (self.fragment_of(&at).id(), self.fragment_of(&at).range().end.clone());
        let Some(end) = end else { return };
        let right = self.fragment_of(&end).id();
        let newest = self.now.fragments.values().map(|f| f.epochs().epoch().max(f.head().epoch)).max().unwrap_or(0);
        self.seed += 1;
        let (made, epoch) = (self.new_id(), MergeEpoch { epoch: newest + 1, opener: self.seed });
        self.reframe(&Reframe::Merge { left, right, made, epoch });
    }

    fn new_id(&mut self) -> FragmentId {
        self.next_id += 1;
        FragmentId(self.next_id)
    }

    fn reframe(&mut self, reframe: &Reframe) {
        let fragments = &mut self.now.fragments;
        let made = match reframe {
            Reframe::Split { fragment, at, made } => {
                let whole = fragments.remove(fragment).expect("a known fragment");
                let (left, right) = whole.split(at, made.0, made.1).expect("resident");
                let heads = vec![(made.0, left.head()), (made.1, right.head())];
                fragments.extend([(made.0, left), (made.1, right)]);
                heads
            }
            Reframe::Merge { left, right, made, epoch } => {
                let parts = [left, right].map(|id| fragments.remove(id).expect("a known fragment"));
                let merged = Fragment::merge(&parts[0], &parts[1], *made, *epoch).expect("resident");
                let heads = vec![(*made, merged.head())];
                fragments.insert(*made, merged);
                heads
            }
        };
        self.log(What::Reframe(reframe.clone(), made));
    }

    pub fn flush(&mut self) {
        self.flushed = self.now.clone();
    }

    pub fn position(&self) -> u64 {
        self.now.position
    }

    /// Whether something is not flushed.
    pub fn is_dirty(&self) -> bool {
        self.now.position != self.flushed.position
    }

    /// Whether a stage is open.
    pub fn has_stage(&self) -> bool {
        self.now.stage.is_some()
    }

    /// Keeps this state, to come back to it later.
    pub fn disk_image(&self) -> Image {
        Image(self.flushed.clone())
    }

    /// The disk is what it was: flushes since then were lies.
    pub fn restore(&mut self, image: Image) {
        self.flushed = image.0;
        self.crash();
    }

    /// Back to what was flushed; a ring does not survive.
    pub fn crash(&mut self) {
        self.now = self.flushed.clone();
        self.forget_log();
        self.cut = None;
        self.tail = None;
    }

    pub fn facts(&self) -> Vec<FragmentFacts> {
        self.now.fragments.values().map(Fragment::facts).collect()
    }

    pub fn get(&self, user_key: &str) -> Option<Vec<u8>> {
        let stored = key::stored(user_key.as_bytes());
        let fragment = self.now.fragments.values().find(|fragment| fragment.range().contains(&stored))?;
        fragment.get(&stored).expect("resident")?.as_ref().live.map(|live| live.value.to_vec())
    }

    /// Every live entry with its version: the comparison that shares nothing with digests.
    pub fn contents(&self) -> BTreeMap<Vec<u8>, (Version, Vec<u8>)> {
        let mut all = BTreeMap::new();
        for fragment in self.now.fragments.values() {
            let _ = fragment
                .scan(fragment.range(), |entry| {
                    if let Some(live) = entry.live {
                        all.insert(entry.key.to_vec(), (entry.version, live.value.to_vec()));
                    }
                    std::ops::ControlFlow::Continue(())
                })
                .expect("resident");
        }
        all
    }

    fn count_sent(&mut self, frame: &Frame) {
        for entry in frame.entries.iter() {
            *self.sent.entry((entry.key.to_vec(), entry.version)).or_default() += 1;
            self.frame_entries += 1;
        }
    }
}
