//! Where things are: the workspace's root, its packages, and what cargo built.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// What `cargo metadata --no-deps` says, as far as tasks need it.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) target_directory: PathBuf,
}

/// One package of the workspace.
#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// One line of a package's dependencies.
#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Set for packages of the workspace.
    pub(crate) path: Option<PathBuf>,
    /// `None`, or "dev", or "build".
    pub(crate) kind: Option<String>,
}

impl Metadata {
    pub(crate) fn read() -> Result<Self, String> {
        let output = cargo(&["metadata", "--format-version", "1", "--no-deps"])
            .output()
            .map_err(|error| format!("can't run cargo metadata: {error}"))?;
        if !output.status.success() {
            return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))
    }

    /// A program of the release profile.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.target_directory.join("release").join(name)
    }

    /// An example of the release profile.
    pub(crate) fn example(&self, name: &str) -> PathBuf {
        self.target_directory.join("release/examples").join(name)
    }

    /// A folder under the target folder for the files of a task, made if absent.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf, String> {
        let path = self.target_directory.join(name);
        std::fs::create_dir_all(&path).map_err(|error| format!("can't make {}: {error}", path.display()))?;
        Ok(path)
    }
}

/// The folder of the workspace's `Cargo.toml`.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in a folder of the workspace")
}

/// A cargo command in the workspace's root.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}
