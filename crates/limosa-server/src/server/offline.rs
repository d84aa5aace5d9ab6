//! Work on a data folder that no node uses.

use std::ops::ControlFlow;
use std::path::Path;

use limosa_core::{Digest, EpochRow, EpochTable, FragmentFacts, FragmentId, History, KeyRange, Scope, SpaceKeys, Strand};
use limosa_node::pki::Pki;
use limosa_store::{DamagedBlock, FragmentView, Identity, Options, SealedFacts, StageStart, Store, StoreError};

use super::error::ServerError;
use super::frames;
use super::running::SPACE;

/// A data folder, held by this process.
pub struct Offline {
    store: Store,
    keys: SpaceKeys,
}

/// A fragment whose entries do not add up to its digest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rot {
    /// Which.
    pub fragment: FragmentId,
    /// State digest of the entries as they are.
    pub found: Digest,
    /// State digest of the summaries.
    pub expected: Digest,
}

/// What a check read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Checked {
    /// Commits that the folder holds.
    pub position: u64,
    /// Fragments.
    pub fragments: u64,
    /// Live entries.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Fragments that can't be trusted; empty when all is well.
    pub rotten: Vec<Rot>,
    /// Blocks that are not what was written; empty when all is well.
    pub damaged: Vec<DamagedBlock>,
}

impl Offline {
    /// Opens a folder that a node has used, as a start would: journal and checkpoint are checked, a torn last write is cut off.
    ///
    /// # Errors
    /// There is no node's folder, a node uses it, or it is damaged.
    pub fn open(data: &Path) -> Result<Self, ServerError> {
        // Before certificates are asked for, whose error would speak of bundles; and the store makes what is missing: a mistyped folder must
        // not become a node's.
        if !data.join("node.toml").exists() {
            return Err(ServerError::NoFolder { path: data.to_owned() });
        }
        let pki = Pki::load(data)?;
        let keys = SpaceKeys::derive(pki.cluster_secret().expose(), SPACE);
        let identity = Identity { cluster: pki.cluster().0, node: pki.node().to_string() };
        let frames = frames::read(data)?.unwrap_or_default();
        Ok(Self { store: Store::open(Options { frames, ..Options::new(data, identity, keys.clone()) })?, keys })
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Reads every entry and compares what they add up to with the digests. Damaged blocks are listed, all of them. The journal's chain
    /// was checked when the folder was opened.
    ///
    /// # Errors
    /// A block can't be read for another reason than damage.
    pub fn check(&self) -> Result<Checked, ServerError> {
        let cut = self.store.cut();
        let mut checked = Checked { position: cut.position().0, ..Checked::default() };
        for view in cut.fragments() {
            self.check_fragment(view, &mut checked)?;
        }
        Ok(checked)
    }

    fn check_fragment(&self, view: &FragmentView, checked: &mut Checked) -> Result<(), ServerError> {
        let facts = view.facts();
        let (mut found, mut rest) = (Digest::ZERO, Some(facts.range.clone()));
        while let Some(range) = rest.take() {
            let scanned = view.scan(&range, |entry| {
                if let Some(live) = entry.live {
                    found += self.keys.state(self.keys.content(entry.key, live), entry.version);
                }
                ControlFlow::Continue(())
            });
            let Err(error) = scanned else { break };
            let block = self.damaged(facts.id, &error).ok_or(error)?;
            found += block.state; // counted as damage: the other blocks of the fragment are still compared
            rest = block.range.end.clone().filter(|end| facts.range.contains(end)).map(|start| KeyRange { start, ..range });
            checked.damaged.push(block);
        }
        checked.fragments += 1;
        checked.entries += facts.live;
        checked.bytes += facts.live_bytes;
        if found != facts.state {
            checked.rotten.push(Rot { fragment: facts.id, found, expected: facts.state });
        }
        Ok(())
    }

    /// The damaged block that an error is about.
    fn damaged(&self, fragment: FragmentId, error: &StoreError) -> Option<DamagedBlock> {
        let StoreError::CorruptBlock { first_key, .. } = error else { return None };
        self.store.damage().into_iter().find(|block| block.fragment == fragment && block.range.start[..] == first_key[..])
    }

    /// Gives every epoch row another opener, so that this history has nothing in common with any other: whoever meets the node next can only
    /// compare by content. Entries and versions stay. For drills; answers how many rows were changed.
    ///
    /// # Errors
    /// The disk fails.
    pub fn forget_history(&self) -> Result<u64, ServerError> {
        let mut salt = [0; 8];
        getrandom::fill(&mut salt).map_err(|error| ServerError::Resources { source: std::io::Error::other(error.to_string()) })?;
        let facts = self.store.facts();
        let (sealed, rows) = strangers(&facts, u64::from_le_bytes(salt));
        // A stage that holds what is served already, sealed with another history: the way in which a node takes over a history.
        self.store.stage_abort_of(&Scope::All)?;
        let start = |facts: &FragmentFacts| StageStart::at(facts.id, facts.range.clone(), facts.head);
        self.store.stage_open(0, &facts.iter().map(start).collect::<Vec<_>>())?;
        self.store.stage_install(0, &sealed)?;
        self.store.sync()?;
        Ok(rows)
    }
}

fn strangers(facts: &[FragmentFacts], salt: u64) -> (Vec<SealedFacts>, u64) {
    let mut changed = 0;
    let mut stranger = |row: &EpochRow| {
        changed += 1;
        // Random openers stay random, and no two rows that differed become equal.
        EpochRow { opener: row.opener ^ salt, ..*row }
    };
    let sealed = facts
        .iter()
        .map(|facts| {
            let mut strand = |strand: &Strand| {
                let rows = strand.epochs.rows().iter().map(&mut stranger).collect();
                Strand { epochs: EpochTable::from_rows(rows).expect("epochs and first seqs are as they were"), ..strand.clone() }
            };
            let strands = facts.epochs.strands().iter().map(&mut strand).collect();
            let mut epochs = History::from_strands(strands).expect("the strands are as they were");
            // A history is replaced only by one with a higher epoch.
            epochs.open(epochs.epoch().max(facts.head.epoch) + 1, facts.head, salt);
            SealedFacts { id: facts.id, head: facts.head, state: facts.state, floor: facts.floor, epochs }
        })
        .collect();
    (sealed, changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(dir: &Path) -> Store {
        let pki = Pki::create(dir, &"a".parse().expect("a name")).expect("certificates");
        let keys = SpaceKeys::derive(pki.cluster_secret().expose(), SPACE);
        let store = Store::open(Options::new(dir, Identity { cluster: pki.cluster().0, node: "a".to_owned() }, keys)).expect("a new store");
        store.open_epoch(0).expect("room");
        let mut txn = store.begin();
        for i in 0..100 {
            txn.set(format!("k{i}").as_bytes(), b"v", limosa_core::Expiry::NEVER).expect("a write");
        }
        txn.commit();
        drop(txn);
        store.flush().expect("room");
        store
    }

    #[test]
    fn a_folder_that_forgot_its_history_has_its_entries_and_no_common_point() {
        let dir = tempfile::tempdir().expect("a folder");
        let before = made(dir.path()).facts();
        let rows = Offline::open(dir.path()).expect("nobody uses it").forget_history();
        assert_eq!(rows.expect("room"), 64);
        let again = Offline::open(dir.path()).expect("it recovers");
        let checked = again.check().expect("readable");
        assert_eq!((checked.entries, checked.rotten.len(), checked.fragments), (100, 0, 64));
        for (old, new) in before.iter().zip(again.store.facts()) {
            assert_eq!((old.head, old.state, old.live), (new.head, new.state, new.live));
            let points = new.epochs.common_points(new.head, &old.epochs, old.head, &old.range);
            assert!(points.iter().all(|(_, common)| common.is_zero()));
        }
        assert!(again.store.open_epoch(0).is_ok(), "it can go on as an owner");
    }

    #[test]
    fn a_folder_in_use_or_of_nobody_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let _store = made(dir.path());
        assert_eq!(Offline::open(dir.path()).err().map(|error| error.code()), Some("store.folder_in_use"));
        let nobody = dir.path().join("nobody");
        assert_eq!(Offline::open(&nobody).err().map(|error| error.code()), Some("server.no_folder"));
        assert!(!nobody.exists());
    }
}
