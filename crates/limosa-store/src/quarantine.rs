//! Writes of a history that lost, set aside as a readable file before they are replaced.
//!
//! One JSON object a line:
//! `{"key":"…","value":"…","kind":"string","expiry_ms":0,"version":"2.17","promised":"standby","based_on":"1.40","deleted":false}`.
//! A key or value that is not UTF-8 is `key_base64` or `value_base64` instead. `based_on` is the last version that both histories shared,
//! where it is known: what was not changed behind it there can be written again ([`Txn::reapply`](crate::Txn::reapply)).

use std::fmt::Write as _;
use std::path::PathBuf;

use limosa_core::{EntryRef, Kind, Version, key};
use limosa_tree::Entry;

use crate::disk::{DiskFile, Open};
use crate::error::StoreError;
use crate::store::Store;

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 256 << 10;

impl Store {
    /// Writes `entries` (by stored key, each with the last version that both histories shared there, if it is known), one after another as they
    /// come, into a new file of the quarantine folder; `promised` says what their writers were told.
    /// The file and its place in the folder are on the disk when this returns; answers where.
    ///
    /// # Errors
    /// The disk is full or fails; the first entry that can't be had.
    pub fn quarantine<'a>(
        &self,
        promised: &str,
        entries: impl IntoIterator<Item = Result<(Entry<'a>, Option<Version>), StoreError>>,
    ) -> Result<PathBuf, StoreError> {
        let (disk, dir) = (&self.inner.options.disk, self.inner.folder.quarantine());
        let failed = |op: &'static str, error| StoreError::io(op, &dir, error);
        disk.create_dir(&dir).map_err(|error| failed("create", error))?;
        let taken = disk.list(&dir).map_err(|error| failed("list", error))?;
        let stamp = utc((self.inner.options.clock)());
        let mut names = (1..=taken.len() + 1).map(|n| format!("{stamp}-{n}.jsonl"));
        let name = names.find(|name| !taken.contains(name)).expect("one more name than files");
        let path = dir.join(name);
        let file = disk.open(&path, Open::CreateNew).map_err(|error| StoreError::io("create", &path, error))?;
        write_lines(&*file, promised, entries, |error| StoreError::io("write", &path, error))?;
        // File, then folder: a name without its bytes would look like a tail that had nothing in it.
        file.flush_all().map_err(|error| StoreError::io("flush", &path, error))?;
        disk.flush_dir(&dir).map_err(|error| failed("flush", error))?;
        Ok(path)
    }
}

fn write_lines<'a>(
    file: &dyn DiskFile,
    promised: &str,
    entries: impl IntoIterator<Item = Result<(Entry<'a>, Option<Version>), StoreError>>,
    failed: impl Fn(std::io::Error) -> StoreError,
) -> Result<(), StoreError> {
    let (mut offset, mut buffer) = (0, String::new());
    for entry in entries {
        let (entry, based_on) = entry?;
        put_line(&mut buffer, &entry.as_ref(), Some(promised), based_on);
        if buffer.len() >= BUFFER_BYTES {
            file.write_at(offset, buffer.as_bytes()).map_err(&failed)?;
            offset += buffer.len() as u64;
            buffer.clear();
        }
    }
    file.write_at(offset, buffer.as_bytes()).map_err(failed)
}

/// Appends an entry, by stored key, as one JSON object and a line feed: see the head of this file. `promised` says what its writer was told,
/// where that matters, and `based_on` which version both histories shared.
pub fn put_line(out: &mut String, entry: &EntryRef<'_>, promised: Option<&str>, based_on: Option<Version>) {
    let parsed = key::parse(entry.key);
    let user = parsed.as_ref().map_or(entry.key, |(user, _)| user);
    out.push('{');
    put_bytes(out, "key", user);
    if let Some((_, Some((tag, rest)))) = &parsed {
        out.push(',');
        put_bytes(out, "element", &[&[*tag], *rest].concat());
    }
    if let Some(live) = entry.live {
        out.push(',');
        put_bytes(out, "value", live.value);
        write!(out, ",\"kind\":\"{}\",\"expiry_ms\":{}", kind_word(live.kind), live.expiry.millis()).expect("a string takes everything");
    }
    write!(out, ",\"version\":\"{}\"", entry.version).expect("a string takes everything");
    if let Some(promised) = promised {
        out.push_str(",\"promised\":");
        put_string(out, promised);
    }
    if let Some(based_on) = based_on {
        write!(out, ",\"based_on\":\"{based_on}\"").expect("a string takes everything");
    }
    writeln!(out, ",\"deleted\":{}}}", entry.live.is_none()).expect("a string takes everything");
}

fn kind_word(kind: Kind) -> String {
    match kind {
        Kind::STRING => "string".into(),
        Kind::PARTED => "parted".into(),
        Kind::PART => "part".into(),
        other => format!("kind-{}", other.code()),
    }
}

fn put_bytes(out: &mut String, field: &str, bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        write!(out, "\"{field}\":").expect("a string takes everything");
        put_string(out, text);
    } else {
        write!(out, "\"{field}_base64\":\"").expect("a string takes everything");
        put_base64(out, bytes);
        out.push('"');
    }
}

/// A JSON string (RFC 8259): quotes, backslashes and control characters escaped.
fn put_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if u32::from(c) < 0x20 || c == '\u{7f}' => write!(out, "\\u{:04x}", u32::from(c)).expect("a string takes everything"),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Base64 with padding (RFC 4648, section 4).
fn put_base64(out: &mut String, bytes: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, &byte| word << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let six = (word >> (18 - 6 * i)) & 63;
            out.push(if i <= chunk.len() { char::from(ALPHABET[six as usize]) } else { '=' });
        }
    }
}

/// `20261122T130405Z`: sorts by time and needs no quoting. Civil date from days (Howard Hinnant's algorithm).
fn utc(millis: u64) -> String {
    let (days, seconds) = (millis / 86_400_000, millis / 1000 % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use limosa_core::{Expiry, LiveRef, Version};

    #[test]
    fn a_line_is_json_whatever_the_bytes() {
        let stored = key::stored("a\"b\n".as_bytes());
        let live = Some(LiveRef { kind: Kind::STRING, expiry: Expiry::at(7), value: &[0xFF, 0, 1, 2] });
        let mut line = String::new();
        put_line(&mut line, &EntryRef { key: &stored, version: Version::new(2, 17), live }, Some("standby"), Some(Version::new(1, 40)));
        let expected = r#"{"key":"a\"b\n","value_base64":"/wABAg==","kind":"string","expiry_ms":7,"version":"2.17","promised":"standby","based_on":"1.40","deleted":false}"#;
        assert_eq!(line, format!("{expected}\n"));
    }

    #[test]
    fn dates_are_civil() {
        assert_eq!(utc(0), "19700101T000000Z");
        assert_eq!(utc(951_782_400_000), "20000229T000000Z");
        assert_eq!(utc(1_795_352_645_000), "20261122T130405Z");
    }
}
