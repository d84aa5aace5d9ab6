//! Counts from the owner's transfer log what was sent more than once: the same key at the same version.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::error::DemoError;

/// Bytes sent again.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct SentAgain {
    /// After each cut.
    pub(super) after_cut: Vec<u64>,
    /// In all.
    pub(super) total: u64,
}

/// Reads a transfer log (a line for each entry sent: `KEYHASH EPOCH.SEQ BYTES`); `cuts` are its lengths when the transfer was cut.
pub(super) fn read(path: &Path, cuts: &[u64]) -> Result<SentAgain, DemoError> {
    let unreadable = |source| DemoError::File { path: path.to_owned(), source };
    let mut log = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut counting = Counting { seen: HashSet::new(), again: SentAgain { after_cut: vec![0; cuts.len()], total: 0 } };
    let (mut line, mut offset) = (Vec::new(), 0);
    loop {
        line.clear();
        if log.read_until(b'\n', &mut line).map_err(unreadable)? == 0 {
            return Ok(counting.again);
        }
        // A killed owner may leave half a line, which the next one's first line continues.
        let end = offset + line.len() as u64;
        let torn = cuts.iter().find(|cut| offset < **cut && **cut < end);
        let from = torn.map_or(0, |cut| usize::try_from(cut - offset).expect("within the line"));
        counting.line(&line[from..], cuts.iter().filter(|cut| **cut <= offset + from as u64).count());
        offset = end;
    }
}

struct Counting {
    /// (key hash, version) that was sent.
    seen: HashSet<(u64, u32, u64)>,
    again: SentAgain,
}

impl Counting {
    /// Counts one line of the `session`th session.
    fn line(&mut self, line: &[u8], session: usize) {
        let Some((sent, bytes)) = parse(line) else { return };
        if !self.seen.insert(sent) {
            self.again.total += bytes;
            if let Some(after) = session.checked_sub(1) {
                self.again.after_cut[after] += bytes;
            }
        }
    }
}

fn parse(line: &[u8]) -> Option<((u64, u32, u64), u64)> {
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let key = u64::from_str_radix(words.next()?, 16).ok()?;
    let (epoch, seq) = words.next()?.split_once('.')?;
    Some(((key, epoch.parse().ok()?, seq.parse().ok()?), words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn count(sessions: &[&str]) -> SentAgain {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        let mut cuts = Vec::new();
        for session in sessions {
            file.write_all(session.as_bytes()).expect("room");
            cuts.push(file.as_file().metadata().expect("it is there").len());
        }
        cuts.pop();
        read(file.path(), &cuts).expect("readable")
    }

    #[test]
    fn the_same_key_at_the_same_version_counts_after_the_cut_before_it() {
        let again = count(&["a 1.1 10\nb 1.2 20\nc 1.3 30\n", "b 1.2 20\nc 1.4 31\n", "", "a 1.1 10\nc 1.4 31\nd 2.1 5\n"]);
        assert_eq!(again, SentAgain { after_cut: vec![20, 0, 41], total: 61 });
        assert_eq!(count(&["a 1.1 10\n"]), SentAgain::default());
    }

    #[test]
    fn a_torn_line_counts_for_nothing_and_hides_nothing() {
        let again = count(&["a 1.1 10\nb 1.", "a 1.1 10\nb 1.2 20\n", "b 1.2 20\n"]);
        assert_eq!(again, SentAgain { after_cut: vec![10, 20], total: 30 });
    }
}
