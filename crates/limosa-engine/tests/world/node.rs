//! One node: fragments, the commits that its ring still has, a stage, and the jobs of both machines executed on them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use limosa_core::fragment::hashed_ranges;
use limosa_core::varint::{self, Reader};
use limosa_core::{
    Commit, Digest, EntryRef, EpochTable, Expiry, FragmentFacts, FragmentId, Frame, IntervalMap, KeyRange, Kind, LiveRef, Mode, Part,
    SpaceKeys, Version, key,
};
use limosa_engine::plan::Estimate;
use limosa_engine::source::{self, BlockRef, EntryId, TailRead, TailStart};
use limosa_engine::target::{self, StageState};
use limosa_tree::{Extract, Fragment};
use limosa_wire::{Live, Refusal, SealedFragment};

type Fragments = BTreeMap<FragmentId, Fragment>;

#[derive(Clone)]
struct Logged {
    position: u64,
    record: Vec<u8>,
    parts: Vec<(FragmentId, Version, Digest)>,
}

#[derive(Clone)]
struct Stage {
    starts: BTreeMap<FragmentId, Version>,
    maps: BTreeMap<FragmentId, IntervalMap>,
    fork: Fragments,
}

/// What survives a crash once it is flushed.
#[derive(Clone)]
struct State {
    fragments: Fragments,
    stage: Option<Stage>,
    log: VecDeque<Logged>,
    position: u64,
}

/// A disk's content.
pub struct Image(State);

pub struct Node {
    now: State,
    flushed: State,
    ring_commits: usize,
    cut: Option<(u64, Fragments)>,
    tail: Option<BTreeMap<FragmentId, Version>>,
    sent_epochs: BTreeMap<FragmentId, usize>,
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
        let state = State { fragments: all, stage: None, log: VecDeque::new(), position: 0 };
        Self {
            flushed: state.clone(),
            now: state,
            ring_commits: usize::MAX,
            cut: None,
            tail: None,
            sent_epochs: BTreeMap::new(),
            seed,
            set_aside: Vec::new(),
            sent: BTreeMap::new(),
            frame_entries: 0,
        }
    }

    /// Forgets deletions up to these versions, as far as this node has come.
    pub fn adopt_floors(&mut self, floors: &[(FragmentId, Version)]) {
        for (id, floor) in floors {
            let fragment = self.now.fragments.get_mut(id).expect("a known fragment");
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
        self.now.fragments.values_mut().for_each(|fragment| fragment.open_epoch(epoch, self.seed));
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
        self.now.position += 1;
        self.now.log.push_back(Logged { position: self.now.position, record, parts });
        self.trim();
    }

    fn trim(&mut self) {
        while self.now.log.len() > self.ring_commits {
            self.now.log.pop_front();
        }
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
        self.now.log.clear();
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

/// The source's jobs.
impl Node {
    pub fn source_job(&mut self, job: source::Job) -> Option<source::Event> {
        use source::{Event, Job};
        Some(match job {
            Job::Cut => {
                self.flush(); // only what is published, so durable, is cut
                self.cut = Some((self.now.position, self.now.fragments.clone()));
                Event::Cut { position: self.now.position, facts: self.facts() }
            }
            Job::ReleaseCut => {
                self.cut = None;
                return None;
            }
            Job::OpenEpoch { above } => {
                self.open_epoch(above);
                Event::EpochOpened
            }
            Job::Estimate(ranges) => Event::Estimated(ranges.iter().map(|(id, range, since)| self.estimate(*id, range, *since)).collect()),
            Job::Blocks { ranges, salt } => Event::Blocks(blocks(&self.cut.as_ref().expect("a cut").1, &ranges, salt)),
            Job::Entries { ranges, salt } => Event::Entries(entries(&self.cut.as_ref().expect("a cut").1, &ranges, salt)),
            Job::Extract(extract) => {
                let fragment = &self.cut.as_ref().expect("a cut").1[&extract.fragment];
                let what = extract.replace_keys.as_ref().map_or(Extract::Changes, |keys| Extract::ReplaceKeys(keys));
                let max_bytes = extract.max_bytes.min(600); // small frames, so that there are many
                let (frame, next) = fragment.delta(&extract.range, extract.since, what, max_bytes).expect("resident");
                self.count_sent(&frame);
                Event::Extracted { frame, next }
            }
            Job::OpenTail(TailStart::Behind(since)) => Event::TailOpened(self.open_tail(since)),
            Job::OpenTail(TailStart::At(position)) => {
                let since = self.heads_at(position);
                Event::TailOpened(self.open_tail(since).or(Some(0)))
            }
            Job::ReadTail { max_bytes } => Event::Tail(self.read_tail(max_bytes.min(400))),
        })
    }

    fn estimate(&self, id: FragmentId, range: &KeyRange, since: Version) -> Estimate {
        let changes = self.cut.as_ref().expect("a cut").1[&id].changed(range, since);
        Estimate { entries: changes.entries, bytes: changes.bytes, all_bytes: changes.bytes }
    }

    fn open_tail(&mut self, since: Vec<(FragmentId, Version)>) -> Option<u64> {
        let places: BTreeMap<_, _> = since.into_iter().collect();
        self.tail = None;
        if !self.reaches(&places) {
            return None;
        }
        self.sent_epochs = self.now.fragments.keys().map(|id| (*id, 0)).collect();
        let bytes = self.now.log.iter().filter(|logged| is_behind(logged, &places)).map(|logged| logged.record.len() as u64).sum();
        self.tail = Some(places);
        Some(bytes)
    }

    /// Where each fragment stood at a position that the log reaches back to, or the log's start.
    fn heads_at(&self, position: u64) -> Vec<(FragmentId, Version)> {
        let head = |id: &FragmentId, fragment: &Fragment| {
            let later = self.now.log.iter().filter(|logged| logged.position > position).flat_map(|logged| &logged.parts);
            let first_later = later.filter(|part| part.0 == *id).map(|part| part.1).min();
            first_later.map_or(fragment.head(), |version| Version::new(version.epoch, version.seq - 1))
        };
        self.now.fragments.iter().map(|(id, fragment)| (*id, head(id, fragment))).collect()
    }

    /// Whether the log has every commit behind these versions.
    fn reaches(&self, places: &BTreeMap<FragmentId, Version>) -> bool {
        self.now.fragments.iter().all(|(id, fragment)| {
            let logged = self.now.log.iter().flat_map(|l| &l.parts).filter(|p| p.0 == *id && p.1 > places[id]).count() as u64;
            fragment.head().seq - places[id].seq == logged
        })
    }

    fn read_tail(&mut self, max_bytes: usize) -> TailRead {
        let mut places = self.tail.clone().expect("an open tail");
        if !self.reaches(&places) {
            return TailRead::Lost;
        }
        let mut records = Vec::new();
        let mut checks = BTreeMap::new();
        let mut upto = 0;
        for logged in self.now.log.iter().filter(|logged| is_behind(logged, &places)) {
            if records.len() > max_bytes {
                break;
            }
            varint::put_bytes(&mut records, &logged.record);
            upto = logged.position;
            checks.extend(logged.parts.iter().map(|part| (part.0, *part)));
            let commit = Commit::decode(&mut Reader::new(&logged.record)).expect("our own record");
            for entry in commit.parts.iter().flat_map(|part| &part.entries) {
                *self.sent.entry((entry.key.to_vec(), entry.version)).or_default() += 1;
            }
        }
        if records.is_empty() {
            return TailRead::CaughtUp(self.now.position);
        }
        places.extend(checks.values().map(|(id, version, _)| (*id, *version)));
        self.tail = Some(places);
        let mut epochs = Vec::new();
        for (id, fragment) in &self.now.fragments {
            let rows = fragment.epochs().rows().len();
            if self.sent_epochs.insert(*id, rows) != Some(rows) {
                epochs.push((*id, fragment.epochs().clone()));
            }
        }
        let heads = checks.values().map(|(id, version, _)| (*id, *version)).collect();
        let live = Live { upto, records: records.into(), epochs, checks: checks.into_values().collect(), floors: self.floors() };
        TailRead::Batch { live, heads }
    }
}

fn is_behind(logged: &Logged, places: &BTreeMap<FragmentId, Version>) -> bool {
    logged.parts.iter().any(|(id, version, _)| *version > places[id])
}

fn blocks(fragments: &Fragments, ranges: &[(FragmentId, KeyRange)], salt: u64) -> Vec<BlockRef> {
    let of = |(id, range): &(FragmentId, KeyRange)| {
        fragments[id].block_ids(range, salt).expect("resident").into_iter().map(|b| (*id, b)).collect::<Vec<_>>()
    };
    ranges.iter().flat_map(of).map(|(fragment, block)| BlockRef { id: block.id, fragment, range: block.range }).collect()
}

fn entries(fragments: &Fragments, ranges: &[(FragmentId, KeyRange)], salt: u64) -> Vec<EntryId> {
    let mut out = Vec::new();
    for (fragment, range) in ranges {
        let ids = fragments[fragment].entry_ids(std::slice::from_ref(range), salt).expect("resident");
        out.extend(ids.into_iter().map(|(id, key)| EntryId { id, fragment: *fragment, key }));
    }
    out
}

/// The target's jobs.
impl Node {
    pub fn target_job(&mut self, job: target::Job) -> Option<target::Event> {
        use target::{Event, Job};
        Some(match job {
            Job::State => Event::State { facts: self.facts(), stage: self.now.stage.as_ref().map(stage_state) },
            Job::SetAsideTails { tails, write } => {
                Event::TailsSetAside(tails.into_iter().map(|(id, since)| (id, self.set_aside_tail(id, since, write))).collect())
            }
            Job::SetAsideKeys(keys) => {
                self.set_aside.extend(keys.into_iter().map(|(_, key)| key.to_vec()));
                Event::KeysSetAside
            }
            Job::OpenStage { starts, .. } => {
                let maps = starts.iter().map(|(id, range, version)| (*id, IntervalMap::new(range.clone(), *version))).collect();
                let starts = starts.into_iter().map(|(id, _, version)| (id, version)).collect();
                self.now.stage = Some(Stage { starts, maps, fork: self.now.fragments.clone() });
                self.now.position += 1;
                Event::StageOpened
            }
            Job::AbortStage => {
                self.now.stage = None;
                self.now.position += 1;
                return None;
            }
            Job::Blocks { ranges, salt } => Event::Blocks(blocks(&self.now.fragments, &ranges, salt)),
            Job::Entries { ranges, salt } => Event::Entries(entries(&self.now.fragments, &ranges, salt)),
            Job::Apply(frame) => self.stage_frame(&frame),
            Job::Install(sealed) => self.install(&sealed),
            Job::Replicate { records, epochs, checks, floors } => {
                let answer = self.replicate(&records, &epochs, &checks);
                self.adopt_floors(&floors);
                answer
            }
        })
    }

    fn set_aside_tail(&mut self, id: FragmentId, since: Version, write: bool) -> Vec<Bytes> {
        let fragment = &self.now.fragments[&id];
        let mut keys = Vec::new();
        let _ = fragment
            .scan(fragment.range(), |entry| {
                if entry.version > since {
                    keys.push(Bytes::copy_from_slice(entry.key));
                }
                std::ops::ControlFlow::Continue(())
            })
            .expect("resident");
        if write {
            self.set_aside.extend(keys.iter().map(|key| key.to_vec()));
        }
        keys
    }

    fn stage_frame(&mut self, frame: &Frame) -> target::Event {
        let refused = |why, detail: String| target::Event::Refused { fragment: frame.fragment, range: frame.range.clone(), why, detail };
        let Some(stage) = &mut self.now.stage else { return refused(Refusal::Gap, "no stage".into()) };
        let map = stage.maps.get_mut(&frame.fragment).expect("a fragment of the offer");
        let (low, high) = map.bounds(&frame.range);
        let (stale, gap) = match frame.mode {
            Mode::Advance => (high >= frame.to, low < frame.from),
            Mode::ReplaceKeys | Mode::ReplaceRange => (high > frame.from, low < frame.from),
        };
        if stale || gap {
            return refused(if stale { Refusal::Stale } else { Refusal::Gap }, format!("{low}..{high} for {}..{}", frame.from, frame.to));
        }
        let fork = stage.fork.get_mut(&frame.fragment).expect("a fragment of the offer");
        if let Err(error) = fork.apply_frame(frame, &[]) {
            return refused(Refusal::Mismatch, error.to_string());
        }
        map.set(&frame.range, frame.to);
        self.now.position += 1;
        target::Event::Staged(self.now.position)
    }

    fn install(&mut self, sealed: &[SealedFragment]) -> target::Event {
        let Some(mut stage) = self.now.stage.clone() else { unreachable!("an install without a stage") };
        for seal in sealed {
            let fork = stage.fork.get_mut(&seal.id).expect("a fragment of the offer");
            let facts = fork.facts();
            if facts.state != seal.state || stage.maps[&seal.id].uniform() != Some(seal.head) {
                let detail = format!("{} {:?}, sealed {} {}", facts.state, stage.maps[&seal.id], seal.state, seal.head);
                return target::Event::Refused { fragment: seal.id, range: facts.range, why: Refusal::Mismatch, detail };
            }
            fork.adopt(seal.head, seal.epochs.clone());
            fork.raise_floor(seal.floor);
        }
        self.now.fragments = stage.fork;
        self.now.stage = None;
        self.now.log.clear();
        self.now.position += 1;
        self.flush();
        target::Event::Installed
    }

    fn replicate(
        &mut self,
        records: &[u8],
        epochs: &[(FragmentId, EpochTable)],
        checks: &[(FragmentId, Version, Digest)],
    ) -> target::Event {
        for (id, table) in epochs {
            self.now.fragments.get_mut(id).expect("a known fragment").set_epochs(table.clone());
        }
        let mut reader = Reader::new(records);
        while !reader.is_empty() {
            let record = reader.bytes_max("record", 1 << 20).expect("a well-formed record");
            let mut commit = Commit::decode(&mut Reader::new(record)).expect("a well-formed commit");
            commit.parts.retain(|part| part.version > self.now.fragments[&part.fragment].head());
            if let Some(part) = commit.parts.iter().find(|part| part.version.seq != self.now.fragments[&part.fragment].head().seq + 1) {
                let detail = format!("{} behind {}", part.version, self.now.fragments[&part.fragment].head());
                return target::Event::Refused { fragment: part.fragment, range: KeyRange::ALL, why: Refusal::Gap, detail };
            }
            if !commit.parts.is_empty() {
                self.apply(&commit, record.to_vec());
            }
        }
        for (id, version, digest) in checks {
            let facts = self.now.fragments[id].facts();
            if facts.head == *version && facts.state != *digest {
                return target::Event::Refused { fragment: *id, range: facts.range, why: Refusal::Mismatch, detail: "drift".into() };
            }
        }
        target::Event::Replicated(self.now.position)
    }
}

fn stage_state(stage: &Stage) -> StageState {
    let fragments = stage.maps.iter().map(|(id, map)| (*id, stage.starts[id], map.clone())).collect();
    StageState { fragments }
}
