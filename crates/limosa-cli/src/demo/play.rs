//! What every scene works with: both nodes, the model, the screen; how ends part, meet again, are measured and compared.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use limosa_server::http::api::Status;

use super::args::DemoArgs;
use super::children::{Children, EndsAll};
use super::compare;
use super::content::Content;
use super::error::DemoError;
use super::fact::Fingerprint;
use super::folder::Folder;
use super::input::{self, Records};
use super::model::{Changed, Key, Model};
use super::node::{self, Node};
use super::pen::Pen;
use super::ports::Ports;
use super::random::Random;
use super::report::{CpuByEnd, Row};
use super::screen::{Screen, Unit};

/// Share of the keys that change in scenes 3 and 5.
pub(super) const SHORT_CHANGE: f64 = 0.001;
/// Smallest and largest ring and journal tail of the owner, bytes.
const KEPT_BYTES: (u64, u64) = (64 << 10, 4 << 20);
/// Journal between checkpoints, bytes: bounds what a killed node replays, and the disk of a demo.
const CHECKPOINT_BYTES: &str = "128MiB";

/// A demo under way.
pub(super) struct Play {
    pub(super) screen: Screen,
    pub(super) args: DemoArgs,
    pub(super) ports: Ports,
    pub(super) owner: Node,
    pub(super) standby: Node,
    pub(super) model: Model,
    pub(super) content: Content,
    pub(super) random: Random,
    /// The later release of the input.
    pub(super) later: Option<Records>,
    /// Entries to begin with.
    pub(super) entries: u64,
    /// Bytes of the owner's ring, and as many of its journal tail.
    pub(super) kept_bytes: u64,
    /// Bytes on the wire for a byte of keys and values, as the first copy had them.
    pub(super) wire_per_payload: f64,
    /// What was not as it must be, although the ends are equal.
    pub(super) problems: Vec<String>,
    pub(super) children: Children,
    // Order: processes end before their folder goes.
    _ends: EndsAll,
    pub(super) folder: Folder,
}

/// Socket bytes that the owner counts with its standby.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Traffic {
    /// Both directions, handshakes apart.
    pub(super) moved: u64,
    pub(super) handshakes: u64,
}

impl Traffic {
    /// What `status` says of the peer called `standby`; nothing before it was there.
    pub(super) fn of(status: &Status, standby: &str) -> Self {
        node::peer(status, standby).map_or_else(Self::default, |peer| {
            let all = peer.moved_bytes_in + peer.moved_bytes_out;
            Self { moved: all.saturating_sub(peer.handshake_bytes), handshakes: peer.handshake_bytes }
        })
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self { moved: self.moved.saturating_sub(before.moved), handshakes: self.handshakes.saturating_sub(before.handshakes) }
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self { moved: self.moved + other.moved, handshakes: self.handshakes + other.handshakes }
    }
}

impl Play {
    /// Reads the input, chooses ports and folders; starts nothing.
    pub(super) fn prepare(args: DemoArgs) -> Result<Self, DemoError> {
        let mut random = Random::new(args.seed);
        let field = args.key.as_deref().unwrap_or_default();
        let records = args.input.as_deref().map(|path| input::read(path, field)).transpose()?;
        let later = args.changed.as_deref().map(|path| input::read(path, field)).transpose()?;
        let entries = records.as_ref().map_or(args.entries, |records| records.len() as u64);
        let entry_bytes = records.as_ref().map_or(args.value_bytes, mean_bytes) + 64;
        let content = match records {
            Some(records) => Content::records(records, random.fork()),
            None => Content::random(args.value_bytes, random.fork()),
        };
        // Scene 3's commits fit into the ring, scene 4's do not fit into ring and journal tail together.
        let kept_bytes = (2 * entry_bytes * share_of(SHORT_CHANGE, entries) as u64).clamp(KEPT_BYTES.0, KEPT_BYTES.1);
        if let Some(path) = &args.report {
            // Now rather than when everything was measured; and an old report does not speak for this demo.
            std::fs::write(path, "").map_err(|source| DemoError::File { path: path.clone(), source })?;
        }
        let ports = Ports::choose(args.ports)?;
        let folder = Folder::create(args.keep)?;
        let children = Children::default();
        children.end_on_signal()?;
        let kept = kept_bytes.to_string();
        let flags = ["--ring-bytes", &kept, "--tail-bytes", &kept, "--checkpoint-bytes", CHECKPOINT_BYTES].map(str::to_owned).to_vec();
        let owner = Node::new("owner", folder.path(), ports.owner(), flags.clone(), &children)?;
        let standby = Node::new("standby", folder.path(), ports.standby(), flags, &children)?;
        Ok(Self {
            screen: Screen::new(),
            args,
            ports,
            owner,
            standby,
            model: Model::default(),
            content,
            random,
            later,
            entries,
            kept_bytes,
            wire_per_payload: 1.0,
            problems: Vec::new(),
            _ends: EndsAll(children.clone()),
            children,
            folder,
        })
    }

    /// How many keys a share of them is; at least one.
    pub(super) fn keys_in(&self, share: f64) -> usize {
        share_of(share, self.entries)
    }

    /// Kills the standby; returns when the owner has noticed, with what it counted so far.
    pub(super) fn part(&mut self) -> Result<Traffic, DemoError> {
        self.standby.kill();
        self.owner.alone(&self.standby)?;
        self.traffic()
    }

    /// Starts the standby again.
    pub(super) fn return_standby(&self) -> Result<(), DemoError> {
        self.standby.start(&["--standby-of", &self.owner.ports.peer().to_string()])?;
        Ok(())
    }

    /// What the owner counted so far.
    pub(super) fn traffic(&self) -> Result<Traffic, DemoError> {
        Ok(Traffic::of(&self.owner.control.status()?, self.standby.name))
    }

    /// Gives each of `keys` another value at the owner.
    pub(super) fn overwrite(&mut self, keys: &[Key], text: &str) -> Result<(), DemoError> {
        self.screen.count(text, keys.len() as u64, Unit::Entries);
        let mut pen = Pen::new(self.owner.ports.resp(), &mut self.model)?;
        for (done, key) in keys.iter().enumerate() {
            pen.put(&self.content.next(key))?;
            if done % 256 == 0 {
                self.children.check()?;
                self.screen.at(done as u64);
            }
        }
        pen.finish()
    }

    /// Waits until both ends agree, measures what that took since `before`, and compares them.
    pub(super) fn meet(&mut self, scene: u8, name: &str, before: Traffic) -> Result<Row, DemoError> {
        let changed = self.model.changed();
        self.measure(scene, name, changed, before)
    }

    /// As [`Self::meet`], for a change that the model does not know as one.
    pub(super) fn measure(&mut self, scene: u8, name: &str, changed: Changed, before: Traffic) -> Result<Row, DemoError> {
        let traffic = self.agreement(scene)?.since(before);
        self.row(scene, name, changed, traffic)
    }

    /// Waits until the standby has everything; answers what the owner counted up to then.
    pub(super) fn agreement(&mut self, scene: u8) -> Result<Traffic, DemoError> {
        let (screen, name) = (&self.screen, self.standby.name);
        let text = format!("scene {scene}: transferring");
        screen.step(&text);
        let mut is_weighed = false; // until the plan is made, nobody knows how much it is
        let status = self.owner.agrees(&self.standby, |status| {
            if let Some(progress) = node::peer(status, name).and_then(|peer| peer.progress.as_ref()) {
                if progress.bytes_total > 0 && !std::mem::replace(&mut is_weighed, true) {
                    screen.count(&text, progress.bytes_total, Unit::Bytes);
                }
                screen.at_of(progress.bytes_done, progress.bytes_total);
            }
        })?;
        Ok(Traffic::of(&status, name))
    }

    /// The row of a scene whose ends have agreed.
    pub(super) fn row(&mut self, scene: u8, name: &str, changed: Changed, traffic: Traffic) -> Result<Row, DemoError> {
        let transfer = self.owner.control.last_transfer()?;
        let transfer = transfer.ok_or_else(|| unexpected(scene, "the owner lists no complete transfer"))?;
        let row = Row {
            scene,
            name: name.to_owned(),
            method: transfer.method.to_string(),
            changed_entries: changed.entries,
            changed_bytes: changed.bytes,
            moved_bytes: traffic.moved,
            handshake_bytes: traffic.handshakes,
            sent_again_bytes: 0,
            sent_again_bytes_by_cut: None,
            ratio: Row::ratio(traffic.moved, changed.bytes),
            seconds: transfer.seconds,
            cpu_seconds: self
                .standby
                .control
                .last_transfer()?
                .map(|received| CpuByEnd { owner: transfer.cpu_seconds, standby: received.cpu_seconds }),
            full_copy_bytes: self.model.total().bytes,
            digests_equal: self.compare(scene)?,
            client: None,
        };
        self.model.settle();
        Ok(row)
    }

    /// Reads every entry of both ends and compares them with each other and with the model, at one version of each fragment.
    fn compare(&self, scene: u8) -> Result<bool, DemoError> {
        let expected = self.model.fingerprint();
        let at = self.owner.control.versions()?;
        self.screen.count(&format!("scene {scene}: reading every entry of both ends"), 2 * expected.entries, Unit::Entries);
        let (owner, standby) = self.read_both()?;
        self.owner.agrees(&self.standby, |_| ())?;
        if self.owner.control.versions()? != at {
            return Err(unexpected(scene, "the owner's versions moved although nobody writes"));
        }
        for (end, found) in [(&self.owner, owner), (&self.standby, standby)] {
            if found != expected {
                let difference = format!("{} entries, {} expected", found.entries, expected.entries);
                self.screen.line(&format!("scene {scene}: the {} differs from what was written ({difference})", end.name));
            }
        }
        Ok(owner == expected && standby == expected)
    }

    fn read_both(&self) -> Result<(Fingerprint, Fingerprint), DemoError> {
        let read = AtomicU64::new(0);
        thread::scope(|scope| {
            let of = |name: &'static str, address| {
                let read = &read;
                scope.spawn(move || compare::fingerprint(name, address, read))
            };
            let owner = of(self.owner.name, self.owner.ports.resp());
            let standby = of(self.standby.name, self.standby.ports.resp());
            while !(owner.is_finished() && standby.is_finished()) {
                self.screen.at(read.load(Ordering::Relaxed));
                thread::park_timeout(Duration::from_millis(20));
            }
            let result = |end: thread::ScopedJoinHandle<'_, _>| end.join().expect("a panic of the reader is a broken invariant");
            Ok((result(owner)?, result(standby)?))
        })
    }
}

/// Something that must not be.
pub(super) fn unexpected(scene: u8, what: &str) -> DemoError {
    DemoError::Unexpected { scene, what: what.to_owned() }
}

fn share_of(share: f64, entries: u64) -> usize {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)] // far below 2^53, and rounded
    let keys = (share * entries as f64).round() as usize;
    keys.max(1)
}

fn mean_bytes(records: &Records) -> u64 {
    let bytes: u64 = records.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum();
    bytes / records.len() as u64
}
