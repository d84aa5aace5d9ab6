//! The fragments that a folder was made with: the configuration's, or those of the cluster that it joined.
//!
//! The store takes them until its first checkpoint; so they are written down before it is opened for the first time, and read at every start.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use limosa_core::fragment::hashed_ranges;
use limosa_core::key::{slot, slot_start};
use limosa_core::slot::SLOTS;
use limosa_core::{FragmentId, KeyRange, Retry};
use limosa_manifest::ManifestError;
use limosa_node::driver::cluster::{MemberOptions, frames};
use limosa_node::transport::Tls;
use serde::{Deserialize, Serialize};

use super::error::ServerError;

/// The file's name in the data folder.
const FILE: &str = "frames.json";
/// How long a manifest that does not answer is asked again.
const ASK_MAX: Duration = Duration::from_secs(10);
/// Wait between.
const ASK_AGAIN: Duration = Duration::from_millis(300);

/// A fragment from its first slot up to the next one's.
#[derive(Serialize, Deserialize)]
struct Frame {
    fragment: u32,
    first_slot: u16,
}

/// What the folder was made with, if that was written down.
pub(super) fn read(data: &Path) -> Result<Option<Vec<(FragmentId, KeyRange)>>, ServerError> {
    let path = data.join(FILE);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ServerError::Frames { path, why: source.to_string() }),
        Ok(text) => text,
    };
    decode(&text).map_err(|why| damaged(&path, &why))
}

/// What the file says, or why it says nothing.
pub(super) fn decode(text: &[u8]) -> Result<Option<Vec<(FragmentId, KeyRange)>>, String> {
    let frames: Vec<Frame> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    ranges(&frames).map(Some).ok_or_else(|| "slots are not in order".to_owned())
}

fn damaged(path: &Path, why: &str) -> ServerError {
    ServerError::Frames { path: path.to_owned(), why: why.to_owned() }
}

fn ranges(frames: &[Frame]) -> Option<Vec<(FragmentId, KeyRange)>> {
    let in_order = frames.windows(2).all(|pair| pair[0].first_slot < pair[1].first_slot);
    let in_bounds = frames.first()?.first_slot == 0 && frames.last()?.first_slot < SLOTS;
    let start = |frame: &Frame| if frame.first_slot == 0 { Bytes::new() } else { Bytes::copy_from_slice(&slot_start(frame.first_slot)) };
    let range =
        |(at, frame): (usize, &Frame)| (FragmentId(frame.fragment), KeyRange { start: start(frame), end: frames.get(at + 1).map(start) });
    (in_order && in_bounds).then(|| frames.iter().enumerate().map(range).collect())
}

/// What a new folder is made with: the fragments of the cluster that it joins, where that has some, else `count` of equal slots. Written down,
/// durably.
pub(super) async fn make(
    data: &Path,
    count: u16,
    member: Option<&MemberOptions>,
    tls: &Tls,
) -> Result<Vec<(FragmentId, KeyRange)>, ServerError> {
    let theirs = match member {
        Some(member) => ask(member, tls).await?,
        None => Vec::new(),
    };
    let frames = if theirs.is_empty() { hashed_ranges(count) } else { theirs };
    write(data, &frames).map_err(|source| ServerError::Frames { path: data.join(FILE), why: source.to_string() })?;
    Ok(frames)
}

async fn ask(member: &MemberOptions, tls: &Tls) -> Result<Vec<(FragmentId, KeyRange)>, ServerError> {
    let began = tokio::time::Instant::now();
    loop {
        match frames(&member.manifest, tls).await {
            Err(error) if error.retry() == Retry::Later && began.elapsed() < ASK_MAX => tokio::time::sleep(ASK_AGAIN).await,
            other => return Ok(other?),
        }
    }
}

fn write(data: &Path, frames: &[(FragmentId, KeyRange)]) -> io::Result<()> {
    let frame = |(id, range): &(FragmentId, KeyRange)| Frame { fragment: id.0, first_slot: slot(&range.start).unwrap_or(0) };
    let text = serde_json::to_vec(&frames.iter().map(frame).collect::<Vec<_>>()).map_err(io::Error::from)?;
    let (path, made) = (data.join(FILE), data.join("frames.json.new"));
    let mut file = File::create(&made)?;
    file.write_all(&text)?;
    file.sync_all()?;
    // Whole or not at all, also over a power cut.
    fs::rename(&made, &path)?;
    File::open(data)?.sync_all()
}

impl From<ManifestError> for ServerError {
    fn from(error: ManifestError) -> Self {
        Self::Manifest { source: Box::new(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_as_they_were_written_and_damage_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(read(dir.path()).expect("no file is no frames").is_none());
        let mut frames = limosa_core::fragment::hashed_ranges(7);
        frames[3].0 = FragmentId(70);
        write(dir.path(), &frames).expect("room");
        assert_eq!(read(dir.path()).expect("sound"), Some(frames));
        for text in ["", "[]", r#"[{"fragment":0,"first_slot":3}]"#, r#"[{"fragment":0,"first_slot":0},{"fragment":1,"first_slot":0}]"#] {
            fs::write(dir.path().join(FILE), text).expect("room");
            assert_eq!(read(dir.path()).expect_err(text).code(), "server.frames", "{text}");
        }
    }
}
