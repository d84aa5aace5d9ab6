//! The temporary folder of a demo: gone when the demo ends, unless it is kept.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::DemoError;

/// A folder that is removed when it is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    /// A new folder under the system's temporary one (`TMPDIR`).
    pub(super) fn create(keep: bool) -> Result<Self, DemoError> {
        let parent = std::env::temp_dir();
        let names = (0u32..).map(|number| parent.join(format!("limosa-demo-{}-{number}", std::process::id())));
        for path in names {
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path, keep }),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {} // of an earlier process with this number
                Err(source) => return Err(DemoError::File { path, source }),
            }
        }
        unreachable!("the numbers do not end")
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            let _ = fs::remove_dir_all(&self.path); // what can't be removed is left to the system's own cleaning
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_with_its_owner_unless_it_is_kept() {
        let gone = Folder::create(false).expect("room").path().to_owned();
        assert!(!gone.exists());
        let kept = Folder::create(true).expect("room").path().to_owned();
        assert!(kept.exists());
        fs::remove_dir(kept).expect("it is empty");
    }
}
