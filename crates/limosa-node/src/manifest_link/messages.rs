//! What crosses the link, as protobuf messages: calls with ids, answers that name them.

use bytes::Bytes;
use prost::{Message, Oneof};

use limosa_manifest::store::CHANGE_OPS_MAX;
use limosa_manifest::{Change, Committed, Event, Guard, LeaseId, Reading, Stored, Write};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Call {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(oneof = "What", tags = "2, 3, 4, 5, 6, 7, 8, 9, 10")]
    pub(super) what: Option<What>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum What {
    #[prost(string, tag = "2")]
    Read(String),
    #[prost(string, tag = "3")]
    List(String),
    #[prost(message, tag = "4")]
    Commit(ChangeText),
    #[prost(message, tag = "5")]
    Watch(WatchFrom),
    /// The watch with this call's id is over.
    #[prost(uint64, tag = "6")]
    Unwatch(u64),
    /// Milliseconds to live.
    #[prost(uint64, tag = "7")]
    Grant(u64),
    #[prost(int64, tag = "8")]
    KeepAlive(i64),
    #[prost(int64, tag = "9")]
    Revoke(i64),
    /// Is anybody there?
    #[prost(bool, tag = "10")]
    Ping(bool),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WatchFrom {
    #[prost(string, tag = "1")]
    pub(super) prefix: String,
    #[prost(uint64, tag = "2")]
    pub(super) revision: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ChangeText {
    #[prost(message, repeated, tag = "1")]
    guards: Vec<GuardText>,
    #[prost(message, repeated, tag = "2")]
    writes: Vec<WriteText>,
}

#[derive(Clone, PartialEq, Message)]
struct GuardText {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(uint64, optional, tag = "2")]
    revision: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct WriteText {
    #[prost(string, tag = "1")]
    key: String,
    /// Nothing: the entry is removed.
    #[prost(bytes = "bytes", optional, tag = "2")]
    value: Option<Bytes>,
    #[prost(int64, optional, tag = "3")]
    lease: Option<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Answer {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(oneof = "Said", tags = "2, 3, 4, 5, 6, 7, 8")]
    pub(super) said: Option<Said>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Said {
    #[prost(message, tag = "2")]
    Reading(ReadingText),
    #[prost(message, tag = "3")]
    Committed(CommittedText),
    #[prost(message, tag = "4")]
    Events(EventsText),
    #[prost(int64, tag = "5")]
    Lease(i64),
    #[prost(bool, tag = "6")]
    Alive(bool),
    /// It was done; nothing else to say.
    #[prost(bool, tag = "7")]
    Done(bool),
    #[prost(message, tag = "8")]
    Failed(super::fault::FaultText),
}

/// One page of a reading.
#[derive(Clone, PartialEq, Message)]
pub(super) struct ReadingText {
    #[prost(uint64, tag = "1")]
    pub(super) store: u64,
    #[prost(uint64, tag = "2")]
    pub(super) revision: u64,
    #[prost(message, repeated, tag = "3")]
    pub(super) entries: Vec<EntryText>,
    /// Another page follows.
    #[prost(bool, tag = "4")]
    pub(super) more: bool,
}

/// An entry, or an event: without a value it was removed.
#[derive(Clone, PartialEq, Message)]
pub(super) struct EntryText {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(super) value: Option<Bytes>,
    #[prost(uint64, tag = "3")]
    pub(super) revision: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct EventsText {
    #[prost(message, repeated, tag = "1")]
    pub(super) events: Vec<EntryText>,
    /// Events of the same answer of the store follow.
    #[prost(bool, tag = "2")]
    pub(super) more: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CommittedText {
    #[prost(bool, tag = "1")]
    done: bool,
    #[prost(uint64, tag = "2")]
    revision: u64,
    #[prost(uint64, tag = "3")]
    store: u64,
}

impl ChangeText {
    pub(super) fn of(change: Change) -> Self {
        let guard = |guard: Guard| GuardText { key: guard.key, revision: guard.revision };
        let write = |write: Write| match write {
            Write::Put { key, value, lease } => WriteText { key, value: Some(value), lease: lease.map(|lease| lease.0) },
            Write::Delete { key } => WriteText { key, value: None, lease: None },
        };
        Self { guards: change.guards.into_iter().map(guard).collect(), writes: change.writes.into_iter().map(write).collect() }
    }

    /// The change; `None` when it is larger than any may be.
    pub(super) fn change(self) -> Option<Change> {
        if self.guards.len().max(self.writes.len()) > CHANGE_OPS_MAX {
            return None;
        }
        let guard = |guard: GuardText| Guard { key: guard.key, revision: guard.revision };
        let write = |write: WriteText| match write.value {
            Some(value) => Write::Put { key: write.key, value, lease: write.lease.map(LeaseId) },
            None => Write::Delete { key: write.key },
        };
        Some(Change { guards: self.guards.into_iter().map(guard).collect(), writes: self.writes.into_iter().map(write).collect() })
    }
}

impl CommittedText {
    pub(super) fn of(committed: Committed) -> Self {
        Self { done: committed.done, revision: committed.revision, store: committed.store }
    }

    pub(super) fn committed(&self) -> Committed {
        Committed { done: self.done, revision: self.revision, store: self.store }
    }
}

impl EntryText {
    fn bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Bytes::len) + 32
    }

    pub(super) fn stored(self) -> Stored {
        Stored { key: self.key, value: self.value.unwrap_or_default(), revision: self.revision }
    }

    pub(super) fn event(self) -> Event {
        Event { key: self.key, value: self.value, revision: self.revision }
    }
}

/// A reading in pages of at most about `page_bytes`, the last one marked.
pub(super) fn reading_pages(reading: Reading, page_bytes: usize) -> Vec<ReadingText> {
    let entry = |stored: Stored| EntryText { key: stored.key, value: Some(stored.value), revision: stored.revision };
    let pages = paged(reading.entries.into_iter().map(entry), page_bytes);
    let last = pages.len() - 1;
    let page = |(at, entries)| ReadingText { store: reading.store, revision: reading.revision, entries, more: at < last };
    pages.into_iter().enumerate().map(page).collect()
}

/// Events in pages, the last one marked.
pub(super) fn event_pages(events: Vec<Event>, page_bytes: usize) -> Vec<EventsText> {
    let entry = |event: Event| EntryText { key: event.key, value: event.value, revision: event.revision };
    let pages = paged(events.into_iter().map(entry), page_bytes);
    let last = pages.len() - 1;
    pages.into_iter().enumerate().map(|(at, events)| EventsText { events, more: at < last }).collect()
}

/// At least one page, also of nothing.
fn paged(entries: impl Iterator<Item = EntryText>, page_bytes: usize) -> Vec<Vec<EntryText>> {
    let (mut pages, mut bytes) = (vec![Vec::new()], 0);
    for entry in entries {
        if bytes > 0 && bytes + entry.bytes() > page_bytes {
            pages.push(Vec::new());
            bytes = 0;
        }
        bytes += entry.bytes();
        pages.last_mut().expect("there is one from the start").push(entry);
    }
    pages
}
