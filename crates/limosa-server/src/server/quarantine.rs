//! Reads the quarantine folder: files of JSON lines that the store wrote, each a tail of a history that lost.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde_json::Value;

use super::views::millis;
use crate::http::api::{Dropped, QuarantineFile, QuarantinePage};

/// Most bytes of records in one page.
const PAGE_BYTES_MAX: usize = 8 << 20;

/// Longest line, bytes: an entry's key, its element and its value, each byte of which may be written as six.
const LINE_BYTES_MAX: u64 = 4 << 20;

const WHY: &str = "written here after the last version common with the owner, and replaced by the owner's history";

/// Number of files.
pub(super) fn count(folder: &Path) -> io::Result<u64> {
    Ok(names(folder)?.len() as u64)
}

/// Every file, oldest first. Reads them whole, to count their records.
pub(super) fn list(folder: &Path) -> io::Result<Vec<QuarantineFile>> {
    names(folder)?.into_iter().map(|name| describe(folder, name)).collect()
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name().into_string().unwrap_or_default();
        if name.ends_with(".jsonl") {
            names.push(name);
        }
    }
    // Names begin with the time.
    names.sort();
    Ok(names)
}

fn describe(folder: &Path, name: String) -> io::Result<QuarantineFile> {
    let file = File::open(folder.join(&name))?;
    let facts = file.metadata()?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut records = 0;
    while reader.skip_until(b'\n')? > 0 {
        records += 1;
    }
    Ok(QuarantineFile { name, written_ms: millis(facts.modified()?), records, bytes: facts.len(), why: WHY.to_owned() })
}

/// Up to `count` records from `first` on, and no more than fit a page. `name` has no separators.
pub(super) fn page(folder: &Path, name: String, first: u64, count: u64) -> io::Result<QuarantinePage> {
    let mut reader = BufReader::new(File::open(folder.join(&name))?);
    for _ in 0..first {
        if reader.skip_until(b'\n')? == 0 {
            return Ok(QuarantinePage { name, first, records: Vec::new(), more: false });
        }
    }
    let (records, more) = records(&mut reader, count)?;
    Ok(QuarantinePage { name, first, records, more })
}

/// Up to `count` records, no more than fit a page, and whether others follow.
pub(super) fn records(reader: &mut impl BufRead, count: u64) -> io::Result<(Vec<Value>, bool)> {
    let (mut records, mut bytes, mut line) = (Vec::new(), 0, Vec::new());
    while (records.len() as u64) < count && bytes < PAGE_BYTES_MAX {
        line.clear();
        if reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok((records, false));
        }
        bytes += line.len();
        records.push(serde_json::from_slice(&line)?); // a line that was cut at the limit is no JSON
    }
    let more = !reader.fill_buf()?.is_empty();
    Ok((records, more))
}

/// Deletes a file, for good. `name` has no separators.
pub(super) fn drop_file(folder: &Path, name: String) -> io::Result<Dropped> {
    let records = describe(folder, name.clone())?.records;
    fs::remove_file(folder.join(&name))?;
    // A name that comes back after a power cut would be dropped again: nothing depends on it, but the answer should be true.
    File::open(folder)?.sync_all()?;
    Ok(Dropped { name, records })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_together_are_the_file() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(list(&dir.path().join("absent")).expect("no folder is no file"), Vec::new());
        let lines: String = (0..5).map(|i| format!("{{\"key\":\"k{i}\"}}\n")).collect();
        fs::write(dir.path().join("20261122T130405Z-1.jsonl"), lines).expect("room");
        fs::write(dir.path().join("notes.txt"), "x").expect("room");
        let files = list(dir.path()).expect("readable");
        assert_eq!((files.len(), files[0].records), (1, 5));
        let (mut first, mut keys) = (0, Vec::new());
        loop {
            let page = page(dir.path(), files[0].name.clone(), first, 2).expect("readable");
            first += page.records.len() as u64;
            keys.extend(page.records.iter().map(|record| record["key"].as_str().unwrap_or_default().to_owned()));
            if !page.more {
                break;
            }
        }
        assert_eq!(keys, ["k0", "k1", "k2", "k3", "k4"]);
        assert!(page(dir.path(), files[0].name.clone(), 9, 2).expect("readable").records.is_empty());
        assert!(page(dir.path(), "absent.jsonl".to_owned(), 0, 2).is_err());
        assert_eq!(drop_file(dir.path(), files[0].name.clone()).expect("it is there").records, 5);
        assert!(list(dir.path()).expect("readable").is_empty() && drop_file(dir.path(), files[0].name.clone()).is_err());
    }
}
