//! What a diverged node had to set aside.

use serde::{Deserialize, Serialize};

/// One file of the quarantine folder.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct QuarantineFile {
    /// File name within the folder: the handle for `quarantine show`.
    pub name: String,
    /// When it was closed, milliseconds since 1970.
    pub written_ms: u64,
    /// Records in it.
    pub records: u64,
    /// Its size.
    pub bytes: u64,
    /// Why the records were set aside, in one sentence.
    pub why: String,
}

/// Some records of a quarantine file, in its order.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct QuarantinePage {
    /// The file.
    pub name: String,
    /// Index of the first record shown.
    pub first: u64,
    /// The records, as the file holds them.
    pub records: Vec<serde_json::Value>,
    /// More follow.
    pub more: bool,
}

/// `POST /v1/quarantine/reapply`: records of a quarantine file, as `GET /v1/quarantine/FILE` shows them, to be written again at their owner.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reapply {
    /// The records: all of a key's, or the key is refused.
    pub records: Vec<serde_json::Value>,
}

/// A key that was not written again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refused {
    /// The key, as UTF-8 with losses.
    pub key: String,
    /// Why, in one sentence.
    pub why: String,
}

/// Answer to [`Reapply`].
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Reapplied {
    /// Keys that were written, or deleted, again.
    pub applied: Vec<String>,
    /// Keys that hold just that already.
    pub unchanged: Vec<String>,
    /// Keys that were left alone.
    pub refused: Vec<Refused>,
}

/// Answer to `DELETE /v1/quarantine/{name}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Dropped {
    /// The file that is gone.
    pub name: String,
    /// Records that it had.
    pub records: u64,
}
