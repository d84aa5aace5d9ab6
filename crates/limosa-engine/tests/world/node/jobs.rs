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
