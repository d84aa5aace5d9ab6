//! The kept inputs of each target: `fuzz/corpus/NAME` in the repository, one file each.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::Target;

/// Where the inputs of `target` lie.
pub fn folder(target: &Target) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target.name)
}

/// Every kept input with its file's name, in the order of the names.
///
/// # Errors
/// The folder is not there or can't be read.
pub fn kept(target: &Target) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut inputs = Vec::new();
    for file in fs::read_dir(folder(target))? {
        let path = file?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        inputs.push((name, fs::read(path)?));
    }
    inputs.sort();
    Ok(inputs)
}

/// Adds `bytes` under a name of their content.
///
/// # Errors
/// The folder can't be written.
pub fn keep(target: &Target, prefix: &str, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder(target))?;
    fs::write(folder(target).join(format!("{prefix}-{:016x}", fingerprint(bytes))), bytes)
}

/// FNV-1a: names need no more.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}
