//! What a watch over the whole manifest tells, decoded and checked as a read is.

use limosa_core::{FragmentId, NodeName};

use crate::cell::FragmentCell;
use crate::entry;
use crate::error::ManifestError;
use crate::key::Key;
use crate::manifest::{Held, Manifest};
use crate::node::NodeEntry;
use crate::store::{Event, Watch};

/// One entry changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// A fragment's cell.
    Cell(Box<Held<FragmentCell>>),
    /// A fragment was split or merged away.
    CellGone(FragmentId),
    /// A node said something of itself.
    Node(NodeEntry),
    /// A node was taken out.
    NodeGone(NodeName),
    /// A node gives a sign of life.
    Alive(NodeName),
    /// Its signs of life have ended.
    Silent(NodeName),
}

impl Manifest {
    /// Every change behind `revision`, to whatever entry.
    ///
    /// # Errors
    /// As [`ManifestStore::watch`](crate::ManifestStore::watch).
    pub async fn watch_all(&self, revision: u64) -> Result<Box<dyn Watch>, ManifestError> {
        self.store().watch("", revision).await
    }

    /// What an event of such a watch says; nothing where the entry is none of those that nodes look at.
    ///
    /// # Errors
    /// A damaged entry, one of a newer program, an epoch below one that was seen.
    pub fn news(&self, event: &Event) -> Result<Option<News>, ManifestError> {
        let Some(key) = Key::parse(&event.key) else { return Ok(None) };
        Ok(Some(match (&key, &event.value) {
            (Key::Fragment(id), Some(value)) => {
                let cell: FragmentCell = entry::decode(&key, value)?;
                self.saw_epoch(*id, cell.epoch)?;
                News::Cell(Box::new(Held { value: cell, revision: event.revision }))
            }
            (Key::Fragment(id), None) => News::CellGone(*id),
            (Key::Node(_), Some(value)) => News::Node(entry::decode(&key, value)?),
            (Key::Node(name), None) => News::NodeGone(name.clone()),
            (Key::Alive(name), Some(_)) => News::Alive(name.clone()),
            (Key::Alive(name), None) => News::Silent(name.clone()),
            (Key::Ids | Key::Origin | Key::Moved, _) => return Ok(None),
        }))
    }
}
