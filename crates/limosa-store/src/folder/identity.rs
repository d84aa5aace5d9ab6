//! The identity file: whose data a folder holds, in text that a person can read.
//!
//! ```text
//! # Written once, when this folder was made. ..
//! magic = "limosa-data-folder"
//! format = 1
//! features = 0
//! cluster = "00112233445566778899aabbccddeeff"
//! node = "a"
//! incarnation = "0123456789abcdef"
//! space_keys = "0123456789abcdef"
//! checksum = "89abcdef"
//! ```
//! Lines of `name = value`, in this order; the checksum is the CRC-32 of everything before its line.

use std::fmt::Write;
use std::path::Path;

use crate::error::StoreError;
use crate::journal::hex;

const HEADING: &str =
    "# Written once, when this folder was made. A copy of it belongs to every backup of the folder; editing it gains nothing.\n";
const MAGIC: &str = "limosa-data-folder";
const FORMAT_VERSION: u64 = 1;
const FEATURES_KNOWN: u64 = 0;
/// Longest file that is read as one.
pub(super) const FILE_BYTES_MAX: usize = 4096;
/// Longest node name.
const NODE_BYTES_MAX: usize = 64;

/// What the file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct IdentityFile {
    pub(super) cluster: [u8; 16],
    pub(super) node: String,
    pub(super) incarnation: u64,
    pub(super) space_keys: u64,
}

impl IdentityFile {
    pub(super) fn encode(&self) -> String {
        let Self { cluster, node, incarnation, space_keys } = self;
        let cluster = hex(cluster);
        let mut text = format!(
            "{HEADING}magic = \"{MAGIC}\"\nformat = {FORMAT_VERSION}\nfeatures = 0\ncluster = \"{cluster}\"\nnode = \"{node}\"\n\
             incarnation = \"{incarnation:016x}\"\nspace_keys = \"{space_keys:016x}\"\n"
        );
        let checksum = crc32fast::hash(text.as_bytes());
        writeln!(text, "checksum = \"{checksum:08x}\"").expect("a String takes everything");
        text
    }

    pub(super) fn decode(path: &Path, bytes: &[u8]) -> Result<Self, StoreError> {
        let damaged = |why: &str| StoreError::IdentityDamaged { path: path.to_path_buf(), why: why.to_owned() };
        let text = std::str::from_utf8(bytes).map_err(|_| damaged("it is not text"))?;
        let (checked, last) = text.rfind("checksum = ").map(|at| text.split_at(at)).ok_or_else(|| damaged("it has no checksum"))?;
        if last != format!("checksum = \"{:08x}\"\n", crc32fast::hash(checked.as_bytes())) {
            return Err(damaged("its checksum does not match: it was edited, or the disk changed it"));
        }
        let field = |name: &str| {
            let line = checked.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
            line.map(|value| value.trim_matches('"')).ok_or_else(|| damaged(&format!("it has no {name}")))
        };
        if field("magic")? != MAGIC {
            return Err(damaged("it is not an identity file"));
        }
        let number = |name| field(name)?.parse::<u64>().map_err(|_| damaged(&format!("its {name} is no number")));
        let newer = |what, found, known| StoreError::FormatNewer { path: path.to_path_buf(), what, found, known };
        match (number("format")?, number("features")?) {
            (FORMAT_VERSION, features) if features & !FEATURES_KNOWN == 0 => {}
            (FORMAT_VERSION, features) => return Err(newer("feature bits", features, FEATURES_KNOWN)),
            (format, _) => return Err(newer("format version", format, FORMAT_VERSION)),
        }
        let hex_number = |name| u64::from_str_radix(field(name)?, 16).map_err(|_| damaged(&format!("its {name} is no number")));
        let cluster = u128::from_str_radix(field("cluster")?, 16).map_err(|_| damaged("its cluster is no id"))?;
        Ok(Self {
            cluster: cluster.to_be_bytes(),
            node: field("node")?.to_owned(),
            incarnation: hex_number("incarnation")?,
            space_keys: hex_number("space_keys")?,
        })
    }
}

/// Whether the bytes are an identity file.
pub(crate) fn check_text(bytes: &[u8]) -> Result<(), StoreError> {
    IdentityFile::decode(Path::new("identity"), bytes).map(drop)
}

/// A sound file for those who try to break its reader.
pub(crate) fn sample() -> String {
    IdentityFile { cluster: [0xA5; 16], node: "a".to_owned(), incarnation: 0x0123_4567_89AB_CDEF, space_keys: 42 }.encode()
}

/// Refuses names that would not survive a file name, a certificate or a line of this file.
pub(super) fn check_node(node: &str) -> Result<(), StoreError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if node.is_empty() || node.len() > NODE_BYTES_MAX || !node.bytes().all(is_plain) {
        let why = format!("{node:?} is not 1 to {NODE_BYTES_MAX} letters, digits, '.', '_' and '-'");
        return Err(StoreError::Invalid { what: "node name", why });
    }
    Ok(())
}
