//! Writes records of a quarantine file again, where nobody has changed their keys since.

use std::collections::BTreeMap;

use limosa_core::{Expiry, Kind, Version};
use limosa_store::{LostEntry, NotReapplied, Store, StoreError};
use serde_json::{Map, Value};

use super::refusal;
use crate::http::Answer;
use crate::http::api::{Reapplied, Reapply, Refused};

/// What the records say of one key.
#[derive(Default)]
struct Lost {
    entries: Vec<LostEntry>,
    based_on: Option<Version>,
    /// A record of it can't be read.
    broken: Option<String>,
}

/// Key by key; each is a commit of its own. Durable when it returns.
pub(super) fn reapply(store: &Store, asked: &Reapply) -> Answer<Reapplied> {
    let mut done = Reapplied::default();
    for (key, lost) in by_key(&asked.records) {
        let shown = String::from_utf8_lossy(&key).into_owned();
        if let Some(why) = lost.broken {
            done.refused.push(Refused { key: shown, why });
            continue;
        }
        match one(store, &key, &lost) {
            Ok(limosa_store::Reapplied::Applied) => done.applied.push(shown),
            Ok(limosa_store::Reapplied::Unchanged) => done.unchanged.push(shown),
            Ok(limosa_store::Reapplied::Refused(why)) => done.refused.push(Refused { key: shown, why: sentence(why) }),
            // Some keys may be written already: the others are told of, so that nothing is in doubt.
            Err(error) => done.refused.push(Refused { key: shown, why: format!("{}: {error}", error.code()) }),
        }
    }
    store.flush().map_err(|error| refusal::store(&error))?;
    Ok(done)
}

fn one(store: &Store, key: &[u8], lost: &Lost) -> Result<limosa_store::Reapplied, StoreError> {
    // What waits for its flush counts as changed just now: nothing that was acknowledged does.
    store.flush()?;
    store.transact(|txn| {
        let done = txn.reapply(key, &lost.entries, lost.based_on, store.now_ms())?;
        txn.commit();
        Ok(done)
    })
}

fn sentence(why: NotReapplied) -> String {
    match why {
        NotReapplied::Changed(Some(version)) => format!("it was changed at {version}, after the version that the record is based on"),
        NotReapplied::Changed(None) => "it is being changed just now".to_owned(),
        NotReapplied::Forgotten => "it is not here, and may have been deleted since: those deletions are no longer remembered".to_owned(),
        NotReapplied::NoBase => "it is here, or was deleted here, and the record does not say what it is based on".to_owned(),
        NotReapplied::Past => "its deadline has passed".to_owned(),
        NotReapplied::Incomplete => "records of it are missing or of an unknown kind: give all records of the key".to_owned(),
    }
}

/// How many keys the records speak of, and of how many all of them can be read.
pub(super) fn keys_of(records: &[Value]) -> (usize, usize) {
    let keys = by_key(records);
    (keys.len(), keys.values().filter(|lost| lost.broken.is_none()).count())
}

fn by_key(records: &[Value]) -> BTreeMap<Vec<u8>, Lost> {
    let mut keys: BTreeMap<Vec<u8>, Lost> = BTreeMap::new();
    for record in records {
        let Some((key, fields)) = record.as_object().and_then(|fields| Some((bytes(fields, "key")?, fields))) else { continue };
        let lost = keys.entry(key).or_default();
        match entry(fields) {
            Ok((entry, based_on)) => {
                // The oldest one: then none of the entries was changed behind its own.
                lost.based_on = if lost.entries.is_empty() { based_on } else { lost.based_on.min(based_on) };
                lost.entries.push(entry);
            }
            Err(why) => lost.broken = Some(why),
        }
    }
    keys
}

fn entry(fields: &Map<String, Value>) -> Result<(LostEntry, Option<Version>), String> {
    let element = bytes(fields, "element");
    let based_on = fields.get("based_on").map(|text| text.as_str().and_then(version).ok_or("`based_on` is not a version")).transpose()?;
    if fields.get("deleted").and_then(Value::as_bool).ok_or("`deleted` is missing")? {
        return Ok((LostEntry { element, live: None }, based_on));
    }
    let kind = match fields.get("kind").and_then(Value::as_str) {
        Some("string") => Kind::STRING,
        Some("parted") => Kind::PARTED,
        Some("part") => Kind::PART,
        other => return Err(format!("the kind {other:?} is not known")),
    };
    let expiry = fields.get("expiry_ms").and_then(Value::as_u64).map_or(Expiry::NEVER, Expiry::from_millis);
    let value = bytes(fields, "value").ok_or("the value is missing")?;
    Ok((LostEntry { element, live: Some((kind, expiry, value)) }, based_on))
}

/// A field as it is, or its base64.
fn bytes(fields: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    if let Some(text) = fields.get(name) {
        return text.as_str().map(|text| text.as_bytes().to_vec());
    }
    from_base64(fields.get(&format!("{name}_base64"))?.as_str()?)
}

fn version(text: &str) -> Option<Version> {
    let (epoch, seq) = text.split_once('.')?;
    Some(Version::new(epoch.parse().ok()?, seq.parse().ok()?))
}

/// Base64 with padding (RFC 4648, section 4).
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let six = |c: u8| match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let body = text.trim_end_matches('=').as_bytes();
    if text.len() - body.len() > 2 {
        return None;
    }
    let mut out = Vec::with_capacity(body.len() * 3 / 4);
    for group in body.chunks(4) {
        let word = group.iter().try_fold(0u32, |word, &c| Some(word << 6 | u32::from(six(c)?)))? << (6 * (4 - group.len()));
        out.extend_from_slice(&word.to_be_bytes()[1..group.len()]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use limosa_core::{LiveRef, SpaceKeys};
    use limosa_store::{Identity, Options, put_line};
    use serde_json::json;

    fn store(dir: &std::path::Path) -> Store {
        let keys = SpaceKeys::derive(&[7; 32], "default");
        let store = Store::open(Options::new(dir, Identity { cluster: [1; 16], node: "a".to_owned() }, keys)).expect("a new store");
        store.open_epoch(0).expect("room");
        store
    }

    fn set(store: &Store, key: &str, value: &[u8]) {
        let mut txn = store.begin();
        txn.set(key.as_bytes(), value, Expiry::NEVER).expect("a write");
        txn.commit();
        drop(txn);
        store.flush().expect("room");
    }

    fn get(store: &Store, key: &str) -> Option<Vec<u8>> {
        let mut txn = store.begin();
        txn.get(key.as_bytes(), 0).expect("readable").map(|held| held.value.into_owned())
    }

    /// The records that a node would write for everything changed after `base`.
    fn tail(store: &Store, base: Option<Version>, of: &str) -> Vec<Value> {
        let mut text = String::new();
        for view in store.cut().fragments() {
            let range = view.facts().range;
            let _ = view
                .scan(&range, |entry| {
                    let own = limosa_core::key::parse(entry.key).is_some_and(|(key, _)| key == of.as_bytes());
                    if own && base.is_none_or(|base| entry.version > base) {
                        put_line(&mut text, &entry, Some("diverged"), base);
                    }
                    std::ops::ControlFlow::Continue(())
                })
                .expect("readable");
        }
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    fn head_of(store: &Store, key: &str) -> Version {
        store.cut().holding(&limosa_core::key::stored(key.as_bytes())).head()
    }

    fn give(store: &Store, records: Vec<Value>) -> Reapplied {
        reapply(store, &Reapply { records }).expect("the store works")
    }

    #[test]
    fn a_lost_write_is_applied_again_only_where_its_key_was_not_changed_since() {
        let (dir, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let (winner, loser) = (store(dir.path()), store(other.path()));
        for store in [&winner, &loser] {
            set(store, "kept", b"old");
            set(store, "taken", b"old");
        }
        let (kept, taken) = (head_of(&loser, "kept"), head_of(&loser, "taken"));
        set(&loser, "kept", b"lost \xff");
        set(&loser, "taken", b"lost");
        set(&winner, "taken", b"won");
        let records = [tail(&loser, Some(kept), "kept"), tail(&loser, Some(taken), "taken")].concat();
        let done = give(&winner, records.clone());
        assert_eq!((done.applied, done.refused.len()), (vec!["kept".to_owned()], 1));
        assert!(done.refused[0].key == "taken" && done.refused[0].why.contains("was changed at"), "{:?}", done.refused);
        assert_eq!((get(&winner, "kept"), get(&winner, "taken")), (Some(b"lost \xff".to_vec()), Some(b"won".to_vec())));
        let again = give(&winner, records);
        assert_eq!((again.applied.len(), again.unchanged), (0, vec!["kept".to_owned()]));
    }

    #[test]
    fn a_deletion_is_applied_again_and_respected() {
        let (dir, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let (winner, loser) = (store(dir.path()), store(other.path()));
        let delete = |store: &Store, key: &str| {
            let mut txn = store.begin();
            assert!(txn.delete(key.as_bytes(), 0).expect("a write"));
            txn.commit();
            drop(txn);
            store.flush().expect("room");
        };
        for store in [&winner, &loser] {
            set(store, "a", b"1");
            set(store, "b", b"1");
        }
        let (a, b) = (head_of(&loser, "a"), head_of(&loser, "b"));
        delete(&loser, "a");
        set(&loser, "b", b"2");
        delete(&winner, "b");
        let done = give(&winner, [tail(&loser, Some(a), "a"), tail(&loser, Some(b), "b")].concat());
        assert_eq!((done.applied, done.refused.len()), (vec!["a".to_owned()], 1));
        assert_eq!((get(&winner, "a"), get(&winner, "b")), (None, None));
    }

    #[test]
    fn a_large_value_comes_back_from_its_changed_parts_and_the_shared_ones() {
        let (dir, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let (winner, loser) = (store(dir.path()), store(other.path()));
        let mut value: Vec<u8> = (0..100_000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for store in [&winner, &loser] {
            set(store, "large", &value);
        }
        let base = head_of(&loser, "large");
        value[200_000..200_050].fill(b'x');
        value.extend_from_slice(b"and more");
        set(&loser, "large", &value);
        let records = tail(&loser, Some(base), "large");
        assert!(records.len() < 10, "only what changed: {}", records.len());
        let half = give(&winner, records[..1].to_vec());
        assert_eq!(half.refused.len(), 1, "parts are missing: {half:?}");
        assert_eq!(give(&winner, records).applied, ["large"]);
        assert_eq!(get(&winner, "large"), Some(value));
    }

    #[test]
    fn a_record_without_a_base_is_only_written_where_nothing_is() {
        let dir = tempfile::tempdir().expect("a folder");
        let winner = store(dir.path());
        set(&winner, "here", b"1");
        let record = |key: &str| json!({"key": key, "value": "lost", "kind": "string", "expiry_ms": 0, "version": "2.1", "deleted": false});
        let done = give(&winner, vec![record("here"), record("gone")]);
        assert_eq!((done.applied, done.refused[0].key.as_str()), (vec!["gone".to_owned()], "here"));
        let past = json!({"key": "p", "value": "x", "kind": "string", "expiry_ms": 5, "version": "2.1", "deleted": false});
        let broken = json!({"key": "q", "kind": "string", "version": "2.1", "deleted": false});
        let done = give(&winner, vec![past, broken, json!("no object")]);
        assert_eq!((done.applied.len(), done.refused.len()), (0, 2), "{done:?}");
    }

    #[test]
    fn base64_is_read_as_the_store_writes_it() {
        let mut line = String::new();
        for length in 0..9u8 {
            let value: Vec<u8> = (0..length).map(|i| 0xFF - i).collect();
            let stored = limosa_core::key::stored(b"k");
            line.clear();
            let live = Some(LiveRef { kind: Kind::STRING, expiry: Expiry::NEVER, value: &value });
            put_line(&mut line, &limosa_core::EntryRef { key: &stored, version: Version::new(1, 1), live }, None, None);
            let record: Value = serde_json::from_str(&line).expect("JSON");
            assert_eq!(bytes(record.as_object().expect("an object"), "value"), Some(value));
        }
        for broken in ["A", "====", "A===", "AB=C", "\u{e9}\u{e9}"] {
            assert_eq!(from_base64(broken), None, "{broken}");
        }
    }
}
