//! Files that the server reads, for the fuzzers: quarantined records, the fragments that a folder was made with.

use limosa_core::{EntryRef, Expiry, Kind, LiveRef, Version, key};

use super::{frames, quarantine, reapply};

/// A quarantine file: its records are read, and looked at as for writing them again.
pub(crate) fn quarantined(file: &[u8]) {
    let Ok((records, _)) = quarantine::records(&mut &*file, 1000) else { return };
    assert!(records.len() <= 1000);
    let _ = reapply::keys_of(&records);
}

pub(crate) fn quarantine_files() -> Vec<Vec<u8>> {
    let mut text = String::new();
    let version = Version::new(2, 17);
    let live = |value| Some(LiveRef { kind: Kind::STRING, expiry: Expiry::at(1_790_000_000_000), value });
    let stored = key::stored(b"user:1");
    for entry in [
        EntryRef { key: &stored, version, live: live(b"a value") },
        EntryRef { key: &key::stored(b"\xFF\0"), version, live: live(b"\xFF\xFE") },
        EntryRef { key: &stored, version, live: None },
        EntryRef { key: &key::element(b"large", key::TAG_PART, &[7; 16]), version, live: live(b"part") },
    ] {
        limosa_store::put_line(&mut text, &entry, Some("standby"), Some(Version::new(1, 40)));
    }
    vec![text.into_bytes()]
}

pub(crate) fn frames(text: &[u8]) {
    let Ok(Some(found)) = frames::decode(text) else { return };
    let touch = found.windows(2).all(|pair| pair[0].1.end.as_ref() == Some(&pair[1].1.start));
    assert!(touch && found.first().is_some_and(|(_, range)| range.start.is_empty()), "every key lies in one fragment");
}

pub(crate) fn frames_files() -> Vec<Vec<u8>> {
    vec![br#"[{"fragment":0,"first_slot":0},{"fragment":70,"first_slot":8192},{"fragment":2,"first_slot":16383}]"#.to_vec()]
}
