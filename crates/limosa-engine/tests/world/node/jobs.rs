//! The jobs of both machines, executed on a node.

use super::*;

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
            Job::OpenTail { start, scope } => {
                self.tail_scope = scope;
                match start {
                    TailStart::Behind(since) => Event::TailOpened(self.open_tail(since)),
                    TailStart::At(position) => {
                        (self.tail, self.lead) = (Some(position), Vec::new());
                        Event::TailOpened(Some(0))
                    }
                }
            }
            Job::NarrowTail(left) => {
                if self.tail_scope.is_all() {
                    self.tail_scope = Scope::only(self.now.fragments.keys().copied());
                }
                self.tail_scope.remove(&left);
                return None;
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
        // What stands at versions of these fragments has all that was before the last split or merge.
        let framed = self.now.log.iter().filter(|logged| matches!(logged.what, What::Reframe(..))).map(|logged| logged.position).max();
        let from = framed.unwrap_or(self.now.trimmed);
        let first_new = self.now.log.iter().find(|logged| logged.position > from && is_behind(logged, &places));
        let bytes = self.now.log.iter().filter(|logged| is_behind(logged, &places)).map(|logged| match &logged.what {
            What::Commit { record, .. } => record.len() as u64,
            _ => 0,
        });
        let bytes = bytes.sum();
        self.tail = Some(first_new.map_or(self.now.position, |first| first.position - 1).max(from));
        let newer = |(id, fragment): (&FragmentId, &Fragment)| {
            let rows = fragment.epochs().rows().iter().filter(|row| row.epoch > places[id].epoch).copied().collect();
            (*id, EpochTable::from_rows(rows).expect("in order"))
        };
        self.lead = self.now.fragments.iter().filter(|(id, _)| places.contains_key(id)).map(newer).collect();
        Some(bytes)
    }

    /// Whether the log has every commit behind these versions.
    fn reaches(&self, places: &BTreeMap<FragmentId, Version>) -> bool {
        self.now.fragments.iter().filter(|(id, _)| places.contains_key(id)).all(|(id, fragment)| {
            let logged = self.now.log.iter().flat_map(parts).filter(|p| p.0 == *id && p.1 > places[id]).count() as u64;
            fragment.head().seq - places[id].seq == logged
        })
    }

    fn read_tail(&mut self, max_bytes: usize) -> TailRead {
        let from = self.tail.expect("an open tail");
        if from < self.now.trimmed {
            return TailRead::Lost;
        }
        let mut epochs = std::mem::take(&mut self.lead);
        let (mut records, mut checks) = (Vec::new(), BTreeMap::new());
        let (mut upto, mut reframe, mut made) = (from, Bytes::new(), Vec::new());
        for logged in self.now.log.iter().filter(|logged| logged.position > from) {
            match &logged.what {
                _ if records.len() > max_bytes => break,
                What::Commit { record, parts } => {
                    let mut commit = Commit::decode(&mut Reader::new(record)).expect("our own record");
                    commit.parts.retain(|part| self.tail_scope.has(part.fragment));
                    if !commit.parts.is_empty() {
                        let mut record = Vec::new();
                        commit.encode(&mut record);
                        varint::put_bytes(&mut records, &record);
                    }
                    checks.extend(parts.iter().filter(|part| self.tail_scope.has(part.0)).map(|part| (part.0, *part)));
                    for entry in commit.parts.iter().flat_map(|part| &part.entries) {
                        *self.sent.entry((entry.key.to_vec(), entry.version)).or_default() += 1;
                    }
                }
                What::Epochs(rows) if records.is_empty() => {
                    epochs.extend(rows.iter().filter(|(id, _)| self.tail_scope.has(*id)).cloned());
                }
                What::Reframe(what, _) if !self.tail_scope.has(what.parents()[0]) => {}
                What::Reframe(what, heads) if upto == from && epochs.is_empty() => {
                    self.tail_scope.add(&heads.iter().map(|(id, _)| *id).collect::<Vec<_>>());
                    (upto, reframe, made) = (logged.position, what.encode(), heads.clone());
                    break;
                }
                What::Epochs(_) | What::Reframe(..) => break,
            }
            upto = logged.position;
        }
        let is_nothing = records.is_empty() && reframe.is_empty() && epochs.is_empty();
        if is_nothing && upto > from {
            self.tail = Some(upto); // others wrote
            return TailRead::CaughtUp(self.now.position);
        }
        if upto == from && (epochs.is_empty() || self.now.log.back().is_none_or(|last| last.position <= from)) {
            self.lead = epochs; // told with what follows
            return TailRead::CaughtUp(self.now.position);
        }
        self.tail = Some(upto);
        let heads = checks.values().map(|(id, version, _)| (*id, *version)).chain(made).collect();
        let mut floors = self.floors();
        floors.retain(|(id, _)| self.tail_scope.has(*id));
        let checks = checks.into_values().collect();
        let live = Live { upto, records: records.into(), epochs, checks, floors, reframe };
        TailRead::Batch { live, heads }
    }
}

fn parts(logged: &Logged) -> &[(FragmentId, Version, Digest)] {
    match &logged.what {
        What::Commit { parts, .. } => parts,
        _ => &[],
    }
}

fn is_behind(logged: &Logged, places: &BTreeMap<FragmentId, Version>) -> bool {
    parts(logged).iter().any(|(id, version, _)| places.get(id).is_some_and(|place| version > place))
}

fn blocks(fragments: &Fragments, ranges: &[(FragmentId, KeyRange)], salt: u64) -> Vec<BlockRef> {
    let of = |(id, range): &(FragmentId, KeyRange)| {
        let there = fragments.get(id).map(|fragment| fragment.block_ids(range, salt).expect("resident"));
        there.into_iter().flatten().map(|b| (*id, b)).collect::<Vec<_>>()
    };
    ranges.iter().flat_map(of).map(|(fragment, block)| BlockRef { id: block.id, fragment, range: block.range }).collect()
}

fn entries(fragments: &Fragments, ranges: &[(FragmentId, KeyRange)], salt: u64) -> Vec<EntryId> {
    let mut out = Vec::new();
    for (fragment, range) in ranges {
        let Some(there) = fragments.get(fragment) else { continue };
        let ids = there.entry_ids(std::slice::from_ref(range), salt).expect("resident");
        out.extend(ids.into_iter().map(|(id, key)| EntryId { id, fragment: *fragment, key }));
    }
    out
}

/// The target's jobs.
impl Node {
    pub fn target_job(&mut self, job: target::Job) -> Option<target::Event> {
        use target::{Event, Job};
        Some(match job {
            Job::State { scope, .. } => {
                let staged = |stage: &&Stage| {
                    stage.maps.keys().any(|id| scope.has(*id)) || stage.maps.keys().all(|id| !self.now.fragments.contains_key(id))
                };
                Event::State { facts: self.facts(), stage: self.now.stage.as_ref().filter(staged).map(stage_state) }
            }
            Job::SetAsideTails { tails, write } => Event::TailsSetAside(
                tails.into_iter().map(|(id, range, since)| (id, self.set_aside_tail(id, &range, since, write))).collect(),
            ),
            Job::SetAsideKeys(keys) => {
                self.set_aside.extend(keys.into_iter().map(|(_, key)| key.to_vec()));
                Event::KeysSetAside
            }
            Job::OpenStage { starts, .. } => {
                let fork = framed(&self.now.fragments, starts.iter().map(|(id, range, _)| (*id, range.clone())));
                let stage =
                    self.now.stage.get_or_insert_with(|| Stage { starts: BTreeMap::new(), maps: BTreeMap::new(), fork: Fragments::new() });
                stage.fork.extend(fork);
                for (id, _, map) in starts {
                    stage.starts.insert(id, map.clone());
                    stage.maps.insert(id, map);
                }
                self.now.position += 1;
                Event::StageOpened
            }
            Job::ReframeStage { fragments, .. } => {
                let stage = self.now.stage.as_mut().expect("an open stage");
                stage.fork = framed(&stage.fork, fragments.iter().cloned());
                let part = |maps: &BTreeMap<FragmentId, IntervalMap>| -> BTreeMap<_, _> {
                    let all = || maps.values().flat_map(IntervalMap::iter);
                    fragments.iter().map(|(id, range)| (*id, IntervalMap::of(range.clone(), all()))).collect()
                };
                (stage.starts, stage.maps) = (part(&stage.starts), part(&stage.maps));
                self.now.position += 1;
                Event::StageOpened
            }
            Job::AbortStage(scope) => {
                if let Some(stage) = &mut self.now.stage {
                    stage.starts.retain(|id, _| !scope.has(*id));
                    stage.maps.retain(|id, _| !scope.has(*id));
                    stage.fork.retain(|id, _| !scope.has(*id));
                }
                self.now.stage.take_if(|stage| stage.maps.is_empty());
                self.now.position += 1;
                return None;
            }
            Job::Pass => Event::Staged(self.now.position),
            Job::Blocks { ranges, salt } => Event::Blocks(blocks(self.forks(), &ranges, salt)),
            Job::Entries { ranges, salt } => Event::Entries(entries(self.forks(), &ranges, salt)),
            Job::Apply(frame) => self.stage_frame(&frame),
            Job::Install(sealed) => self.install(&sealed),
            Job::Replicate { reframe, .. } if !reframe.is_empty() => self.follow(&Reframe::decode(&reframe)),
            Job::Replicate { records, epochs, checks, floors, scope, left, .. } => {
                let records = without(&records, &scope, &left);
                let answer = self.replicate(&records, &epochs, &checks);
                self.adopt_floors(&floors);
                answer
            }
        })
    }

    /// None where all of them have left.
    fn forks(&self) -> &Fragments {
        static NONE: Fragments = Fragments::new();
        self.now.stage.as_ref().map_or(&NONE, |stage| &stage.fork)
    }

    fn follow(&mut self, reframe: &Reframe) -> target::Event {
        self.reframe(reframe);
        target::Event::Reframed { position: self.now.position, facts: self.facts() }
    }

    fn set_aside_tail(&mut self, id: FragmentId, range: &KeyRange, since: Version, write: bool) -> Vec<Bytes> {
        let fragment = &self.now.fragments[&id];
        let mut keys = Vec::new();
        let _ = fragment
            .scan(range, |entry| {
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
        let places: Vec<KeyRange> = stage.fork.values().map(|fork| fork.range().clone()).collect();
        self.now.fragments.retain(|_, fragment| places.iter().all(|place| place.intersect(fragment.range()).is_none()));
        self.now.fragments.extend(stage.fork);
        self.now.stage = None;
        self.now.position += 1;
        self.forget_log();
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
            let fragment = self.now.fragments.get_mut(id).expect("a known fragment");
            let mut history = fragment.epochs().clone();
            let new = table.rows().iter().filter(|row| row.epoch > history.epoch()).copied().collect();
            assert!(history.append(&EpochTable::from_rows(new).expect("in order")), "rows follow");
            fragment.set_epochs(history);
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
    let fragments = stage.maps.iter().map(|(id, map)| (*id, stage.starts[id].clone(), map.clone())).collect();
    StageState { fragments }
}

/// The fragments of `wanted`, made of those in `held`.
fn framed(held: &Fragments, wanted: impl Iterator<Item = (FragmentId, KeyRange)>) -> Fragments {
    let mut parts: Vec<&Fragment> = held.values().collect();
    parts.sort_by(|a, b| a.range().start.cmp(&b.range().start));
    let one = |(id, range): (FragmentId, KeyRange)| match held.get(&id).filter(|held| *held.range() == range) {
        Some(same) => (id, same.clone()),
        None => (id, Fragment::assemble(parts.iter().copied(), id, &range).expect("resident").expect("covered")),
    };
    wanted.map(one).collect()
}

/// The records without the parts of fragments that left the session; those that are left must be part of it.
fn without(records: &[u8], scope: &Scope, left: &[FragmentId]) -> Vec<u8> {
    let (mut reader, mut out) = (Reader::new(records), Vec::new());
    while !reader.is_empty() {
        let record = reader.bytes_max("record", 1 << 20).expect("a well-formed record");
        let mut commit = Commit::decode(&mut Reader::new(record)).expect("a well-formed commit");
        commit.parts.retain(|part| !left.contains(&part.fragment));
        assert!(commit.parts.iter().all(|part| scope.has(part.fragment)), "a commit outside of the session's scope");
        if !commit.parts.is_empty() {
            let mut record = Vec::new();
            commit.encode(&mut record);
            varint::put_bytes(&mut out, &record);
        }
    }
    out
}
