//! Messages of the link for the fuzzers: bytes as they come from a stream, length included.

use bytes::Bytes;
use limosa_manifest::{Change, Committed, Event, Guard, LeaseId, ManifestError, Reading, Stored, Write};
use prost::Message;
use tokio::runtime::Builder;

use super::fault::FaultText;
use super::frames;
use super::messages::{Answer, Call, ChangeText, CommittedText, Said, WatchFrom, What, event_pages, reading_pages};

fn read<M: Message + Default>(mut bytes: &[u8]) -> Option<M> {
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(frames::read(&mut bytes)).ok()
}

pub(crate) fn call(bytes: &[u8]) {
    let Some(call) = read::<Call>(bytes) else { return };
    if let Some(What::Commit(text)) = call.what {
        let Some(change) = text.change() else { return };
        assert!(change.guards.len().max(change.writes.len()) <= limosa_manifest::store::CHANGE_OPS_MAX);
    }
}

pub(crate) fn answer(bytes: &[u8]) {
    let Some(answer) = read::<Answer>(bytes) else { return };
    match answer.said {
        Some(Said::Reading(reading)) => drop(reading.entries.into_iter().map(super::messages::EntryText::stored).collect::<Vec<_>>()),
        Some(Said::Events(events)) => drop(events.events.into_iter().map(super::messages::EntryText::event).collect::<Vec<_>>()),
        Some(Said::Committed(committed)) => drop(committed.committed()),
        Some(Said::Failed(fault)) => assert!(fault.error().code().starts_with("manifest.")),
        _ => {}
    }
}

fn framed(message: &impl Message) -> Vec<u8> {
    let body = message.encode_to_vec();
    [&u32::try_from(body.len()).expect("small").to_be_bytes()[..], &body].concat()
}

pub(crate) fn calls() -> Vec<Vec<u8>> {
    let key = || "fragment/00000007".to_owned();
    let put = Write::Put { key: key(), value: Bytes::from_static(b"limosa-manifest 1 0 00000000 -\n{}"), lease: Some(LeaseId(5)) };
    let change = Change { guards: vec![Guard { key: key(), revision: Some(9) }], writes: vec![put, Write::Delete { key: key() }] };
    let whats = [
        What::Read(key()),
        What::List("fragment/".to_owned()),
        What::Commit(ChangeText::of(change)),
        What::Watch(WatchFrom { prefix: "node/".to_owned(), revision: 300 }),
        What::Grant(9000),
        What::KeepAlive(-1),
    ];
    (1..).zip(whats).map(|(id, what)| framed(&Call { id, what: Some(what) })).collect()
}

pub(crate) fn answers() -> Vec<Vec<u8>> {
    let stored = |key: &str| Stored { key: key.to_owned(), value: Bytes::from_static(b"{}"), revision: 7 };
    let reading = Reading { store: 9, revision: 300, entries: vec![stored("node/a"), stored("node/b")] };
    let event = Event { key: "node/a".to_owned(), value: None, revision: 301 };
    let fault = FaultText::of(&ManifestError::Conflict { key: "node/a".to_owned() });
    let said = [
        Said::Reading(reading_pages(reading, 1 << 10).remove(0)),
        Said::Events(event_pages(vec![event], 1 << 10).remove(0)),
        Said::Committed(CommittedText::of(Committed { done: true, revision: 9, store: 9 })),
        Said::Lease(5),
        Said::Failed(fault),
    ];
    (1..).zip(said).map(|(id, said)| framed(&Answer { id, said: Some(said) })).collect()
}
