//! The last changes, for watches: bounded, so that a watch that is too far behind is told to list again.

use std::collections::VecDeque;

use crate::error::ManifestError;
use crate::store::{Event, Write};

/// Events kept.
const EVENTS_KEPT: usize = 4096;

/// Events in the order of their revisions.
pub(super) struct History {
    events: VecDeque<Event>,
    /// Everything behind this revision is in `events`.
    floor: u64,
    newest: u64,
}

impl History {
    pub(super) fn new(revision: u64) -> Self {
        Self { events: VecDeque::new(), floor: revision, newest: revision }
    }

    pub(super) fn push(&mut self, revision: u64, writes: &[Write]) {
        assert!(revision > self.newest, "revisions grow");
        self.newest = revision;
        self.events.extend(writes.iter().map(|write| match write {
            Write::Put { key, value, .. } => Event { key: key.clone(), value: Some(value.clone()), revision },
            Write::Delete { key } => Event { key: key.clone(), value: None, revision },
        }));
        while self.events.len() > EVENTS_KEPT {
            let gone = self.events.pop_front().expect("more than some are there");
            self.floor = gone.revision; // a change is forgotten whole: what is left of it does not count
        }
    }

    /// Events below `prefix` behind `revision`, and up to where that is all.
    pub(super) fn since(&self, revision: u64, prefix: &str) -> Result<(Vec<Event>, u64), ManifestError> {
        if revision < self.floor {
            return Err(ManifestError::Compacted { oldest: self.floor });
        }
        let new = self.events.iter().filter(|event| event.revision > revision && event.key.starts_with(prefix));
        Ok((new.cloned().collect(), self.newest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_too_far_behind_is_told_so() {
        let mut history = History::new(10);
        let write = |i: u64| vec![Write::Delete { key: format!("fragment/{i}") }];
        (11..=10 + EVENTS_KEPT as u64).for_each(|revision| history.push(revision, &write(revision)));
        assert_eq!(history.since(10, "").expect("all are there").0.len(), EVENTS_KEPT);
        history.push(11 + EVENTS_KEPT as u64, &write(0));
        assert!(matches!(history.since(10, ""), Err(ManifestError::Compacted { oldest: 11 })));
        assert_eq!(history.since(11, "").expect("these are").0.len(), EVENTS_KEPT);
        assert!(history.since(11, "node/").expect("none below that").0.is_empty());
    }
}
