//! Writes the files of a certificate folder so that a crash leaves the old ones or the new ones, never half of one.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::PkiError;
use crate::pki::pem::PEM_BYTES_MAX;

/// Mode of files that hold a key or secret.
pub(crate) const SECRET: u32 = 0o600;
/// Mode of files that anybody may read.
pub(crate) const PUBLIC: u32 = 0o644;

/// Reads a whole file, up to the length that PEM files may have.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, PkiError> {
    let file = File::open(path).map_err(|error| io("open", path, error))?;
    let mut bytes = Vec::new();
    file.take(PEM_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| io("read", path, error))?;
    Ok(bytes)
}

/// Replaces `path`: a temporary file beside it is written and flushed, renamed over it, and the folder flushed.
pub(crate) fn replace(path: &Path, text: &str, mode: u32) -> Result<(), PkiError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    remove_file_if_there(&new)?; // left by a crash; its mode may be wrong
    create(&new, text, mode)?;
    fs::rename(&new, path).map_err(|error| io("rename", path, error))?;
    flush_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Makes the folder `path` with all of `files` in it at once: they are written into a folder beside it, which is then renamed.
/// Fails when `path` exists and is not empty.
pub(crate) fn create_folder(path: &Path, files: &[(&str, String, u32)]) -> Result<(), PkiError> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|error| io("create", parent, error))?;
    let new = new_folder_of(path);
    match fs::remove_dir_all(&new) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(io("remove", &new, error)),
    }
    fs::DirBuilder::new().mode(0o700).create(&new).map_err(|error| io("create", &new, error))?;
    for (name, text, mode) in files {
        create(&new.join(name), text, *mode)?;
    }
    flush_folder(&new)?;
    match fs::rename(&new, path) {
        Ok(()) => flush_folder(parent),
        Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
            Err(PkiError::Exists { path: path.to_owned() })
        }
        Err(error) => Err(io("rename", path, error)),
    }
}

/// Says in the log when a file with a key can be read by others: it is used, since mounted secrets often can't be changed.
pub(crate) fn warn_if_readable_by_others(path: &Path) {
    let mode = fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), mode = format!("{:o}", mode & 0o777), "this key can be read by other users: chmod 600");
    }
}

fn new_folder_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

fn create(path: &Path, text: &str, mode: u32) -> Result<(), PkiError> {
    // The mode is given at creation: a key is at no instant readable by others.
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = file.map_err(|error| io("create", path, error))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| io("write", path, error))
}

fn remove_file_if_there(path: &Path) -> Result<(), PkiError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io("remove", path, error)),
        _ => Ok(()),
    }
}

fn flush_folder(path: &Path) -> Result<(), PkiError> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|error| io("flush", path, error))
}

pub(crate) fn io(what: &'static str, path: &Path, source: std::io::Error) -> PkiError {
    PkiError::Io { what, path: path.to_owned(), source }
}
