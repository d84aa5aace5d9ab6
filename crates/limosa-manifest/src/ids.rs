//! Ids of fragments: handed out by one counter of the manifest, so that none is ever given twice, whatever was split or merged away.

use limosa_core::FragmentId;
use serde::{Deserialize, Serialize};

use crate::entry;
use crate::error::ManifestError;
use crate::key::Key;
use crate::manifest::Manifest;
use crate::store::{Change, Guard};

/// Fragments that a splitting store names for a moment only are numbered from here on.
const IDS_MAX: u32 = 0xFFFF_0000;

/// How often the counter is tried when others take ids at the same moment.
const TRIES_MAX: usize = 16;

/// The counter's entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counter {
    /// Below it every id was given.
    next: u32,
}

impl Manifest {
    /// Ids that no fragment of this cluster ever had, ascending. What is not used in the end is lost, which costs nothing.
    ///
    /// # Errors
    /// The manifest is away; the ids are used up; too many others take ids at the same moment.
    pub async fn take_ids<const N: usize>(&self) -> Result<[FragmentId; N], ManifestError> {
        let what = "ids of fragments";
        for _ in 0..TRIES_MAX {
            let held = self.entry::<Counter>(&Key::Ids).await?;
            let first = match &held {
                Some(held) => held.value.next,
                None => self.cells().await?.0.iter().map(|held| held.value.fragment.saturating_add(1)).max().unwrap_or(0),
            };
            let count = u32::try_from(N).unwrap_or(u32::MAX);
            let next = first.checked_add(count).filter(|next| *next < IDS_MAX);
            let Some(next) = next else {
                return Err(ManifestError::Limit { what, value: u64::from(first), max: u64::from(IDS_MAX) });
            };
            let guard = Guard { key: Key::IDS.to_owned(), revision: held.as_ref().map(|held| held.revision) };
            let value = entry::encode(&Key::Ids, &Counter { next })?;
            let write = crate::store::Write::Put { key: Key::IDS.to_owned(), value: value.into(), lease: None };
            // An unknown outcome that was made loses against itself the next time: ids are skipped then, never given twice.
            if self.send(Change { guards: vec![guard], writes: vec![write] }).await?.0 {
                return Ok(std::array::from_fn(|at| FragmentId(first + u32::try_from(at).expect("fewer than N"))));
            }
        }
        Err(ManifestError::Config { what, why: "too many are taken at the same moment: try again".to_owned() })
    }
}
