//! The shape of source files: each opens by saying what it owns, and none grows past 500 lines.

use std::fs;
use std::path::{Path, PathBuf};

use super::Context;
use crate::workspace::root;

const LINES_MAX: usize = 500;

/// Files that may be longer, each with its reason.
const LONGER: &[(&str, &str)] = &[("crates/limosa-wire/src/generated.rs", "generated from the .proto file")];

const FOLDERS: &[&str] = &["crates", "xtask", "fuzz", "examples", "bench"];

pub(super) fn check(_: &Context) -> Result<(), String> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        collect(&root().join(folder), &mut files)?;
    }
    files.sort();
    let mut wrong = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).map_err(|error| format!("can't read {}: {error}", file.display()))?;
        let name = file.strip_prefix(root()).unwrap_or(file).to_string_lossy();
        wrong.extend(fault(&name, &text));
    }
    wrong.extend(
        LONGER.iter().filter(|(name, _)| !root().join(name).exists()).map(|(name, _)| format!("{name} is listed and does not exist")),
    );
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

fn fault(name: &str, text: &str) -> Option<String> {
    if !text.starts_with("//! ") {
        return Some(format!("{name} does not open with a `//!` sentence that says what it owns"));
    }
    let lines = text.lines().count();
    let is_listed = LONGER.iter().any(|(listed, _)| *listed == name);
    (lines > LINES_MAX && !is_listed).then(|| format!("{name} has {lines} lines, above {LINES_MAX}: look for the second thing inside it"))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    if !folder.is_dir() {
        return Ok(());
    }
    let entries = fs::read_dir(folder).map_err(|error| format!("can't list {}: {error}", folder.display()))?;
    for entry in entries {
        let path = entry.map_err(|error| format!("can't list {}: {error}", folder.display()))?.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_first_sentence_or_with_too_many_lines_is_named() {
        assert_eq!(fault("a.rs", "//! Owns a.\n"), None);
        assert!(fault("a.rs", "use b;\n").is_some());
        let long = format!("//! Owns a.\n{}", "\n".repeat(LINES_MAX));
        assert!(fault("a.rs", &long).is_some());
        assert_eq!(fault(LONGER[0].0, &long), None);
    }
}
