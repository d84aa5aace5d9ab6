//! Lists what is compared by content: blocks, then entries.

use limosa_core::{FragmentId, KeyRange};
use limosa_engine::source::{BlockRef, EntryId};
use limosa_store::{FragmentView, StoreError};

/// The comparison blocks of `ranges`, in order.
pub(crate) fn blocks(views: &[FragmentView], ranges: &[(FragmentId, KeyRange)], salt: u64) -> Result<Vec<BlockRef>, StoreError> {
    let mut out = Vec::new();
    for (fragment, range) in ranges {
        let Some(view) = views.iter().find(|view| view.id() == *fragment) else { continue };
        let ids = view.block_ids(range, salt)?;
        out.extend(ids.into_iter().map(|block| BlockRef { id: block.id, fragment: *fragment, range: block.range }));
    }
    Ok(out)
}

/// The live entries of `ranges`, in order.
pub(crate) fn entries(views: &[FragmentView], ranges: &[(FragmentId, KeyRange)], salt: u64) -> Result<Vec<EntryId>, StoreError> {
    let mut out = Vec::new();
    for run in ranges.chunk_by(|a, b| a.0 == b.0) {
        let Some(view) = views.iter().find(|view| view.id() == run[0].0) else { continue };
        let own: Vec<KeyRange> = run.iter().map(|(_, range)| range.clone()).collect();
        let ids = view.entry_ids(&own, salt)?;
        out.extend(ids.into_iter().map(|(id, key)| EntryId { id, fragment: run[0].0, key }));
    }
    Ok(out)
}
