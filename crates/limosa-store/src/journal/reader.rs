//! Reading the journal from a position while the writer goes on.

use super::{GroupView, Position};
use crate::error::StoreError;

/// Opens readers; cloned freely, and independent of the writer's lock.
#[derive(Clone, Debug)]
pub struct JournalHandle {}

impl JournalHandle {
    /// A reader whose first group holds `from`.
    ///
    /// # Errors
    /// [`StoreError::JournalReleased`] when `from` has been released.
    pub fn reader(&self, from: Position) -> Result<Reader, StoreError> {
        let _ = from;
        Err(not_built())
    }

    /// The oldest position held.
    pub fn first(&self) -> Position {
        Position(1)
    }

    /// The last published position.
    pub fn published(&self) -> Position {
        Position::ZERO
    }
}

/// Reads group by group. The first group may start before the position asked for.
#[derive(Debug)]
pub struct Reader {}

impl Reader {
    /// The next group up to the published end; `None` there, and more later.
    ///
    /// # Errors
    /// Damage, a broken chain, a segment that was released meanwhile, a record of a newer kind.
    pub fn next_group(&mut self) -> Result<Option<GroupView<'_>>, StoreError> {
        Err(not_built())
    }
}

fn not_built() -> StoreError {
    StoreError::Poisoned { why: "the journal is being built".into() }
}
