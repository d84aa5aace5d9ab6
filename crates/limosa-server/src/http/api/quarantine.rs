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
