//! Puts what a source is going to replace into a readable file first.

use std::path::PathBuf;

use bytes::Bytes;
use limosa_core::{FragmentId, KeyRange, Version};
use limosa_store::{Cut, Extract, FragmentView, Store, StoreError};

/// Bytes of keys and values looked at in one go.
const SCAN_BYTES: usize = 1 << 20;

/// What was found, and where it was written if it was.
pub(crate) struct Tails {
    pub(crate) keys: Vec<(FragmentId, Vec<Bytes>)>,
    pub(crate) file: Option<(PathBuf, usize)>,
}

/// Everything that this node wrote behind the given versions; with `write`, into a readable file, durably.
pub(crate) fn tails(store: &Store, tails: &[(FragmentId, KeyRange, Version)], write: bool) -> Result<Tails, StoreError> {
    let cut = store.cut();
    let (mut keys, mut shared) = (Vec::new(), Vec::new());
    for (fragment, range, since) in tails {
        let Some(view) = cut.fragment(*fragment) else { continue };
        keys.push((*fragment, changed_keys(view, range, *since)?));
        shared.push(Some(*since));
    }
    let all = || keys.iter().zip(&shared).flat_map(|((_, keys), since)| keys.iter().map(move |key| (key, *since)));
    let file = write.then(|| quarantine(store, &cut, "diverged", all())).transpose()?;
    Ok(Tails { keys, file })
}

/// Writes the entries of `keys`, each with the last version that both histories shared there if it is known, into a readable file, durably.
pub(crate) fn quarantine<'a>(
    store: &Store,
    cut: &Cut,
    promised: &str,
    keys: impl Iterator<Item = (&'a Bytes, Option<Version>)>,
) -> Result<(PathBuf, usize), StoreError> {
    let mut count = 0;
    // By its place: the owner may call the fragment another name.
    let found = |(key, shared): (&Bytes, Option<Version>)| Some(cut.holding(key).get(key).transpose()?.map(|entry| (entry, shared)));
    let entries = keys.inspect(|_| count += 1).filter_map(found);
    let path = store.quarantine(promised, entries)?;
    Ok((path, count))
}

/// The keys changed behind `since`, ascending, deletions included.
fn changed_keys(view: &FragmentView, range: &KeyRange, since: Version) -> Result<Vec<Bytes>, StoreError> {
    let mut keys = Vec::new();
    let mut rest = Some(range.clone());
    while let Some(range) = rest {
        let (frame, next) = view.delta(&range, since, Extract::Changes, SCAN_BYTES)?;
        keys.extend(frame.entries.iter().map(|entry| Bytes::copy_from_slice(entry.key)));
        rest = next.map(|start| KeyRange { start, end: range.end });
    }
    Ok(keys)
}
