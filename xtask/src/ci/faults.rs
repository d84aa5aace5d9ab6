//! The table of faults: each row of `docs/faults.md` names, in its last column, a test that exists.

use std::fs;
use std::path::Path;

use super::Context;
use crate::workspace::root;

pub(super) fn check(_: &Context) -> Result<(), String> {
    let text = fs::read_to_string(root().join("docs/faults.md")).map_err(|error| format!("can't read docs/faults.md: {error}"))?;
    let mut sources = String::new();
    collect(&root().join("crates"), &mut sources)?;
    let wrong: Vec<String> = text.lines().filter_map(|line| fault(line, &sources)).collect();
    let rows = text.lines().filter(|line| is_row(line)).count();
    if rows == 0 {
        return Err("docs/faults.md has no rows".to_owned());
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

fn is_row(line: &str) -> bool {
    line.starts_with("| ") && !line.starts_with("| Fault |")
}

/// What is wrong with a row: it names nothing, or something that is not there.
fn fault(line: &str, sources: &str) -> Option<String> {
    if !is_row(line) {
        return None;
    }
    let shown = line.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
    let names: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
    if names.is_empty() {
        return Some(format!("no test is named: {line}"));
    }
    names.iter().find(|name| !exists(name, sources)).map(|name| format!("docs/faults.md names `{name}`, which does not exist"))
}

/// A test function, or a kind of fault that the simulator brings about and requires of every long run.
fn exists(name: &str, sources: &str) -> bool {
    match name.strip_prefix("sim: ") {
        Some(kind) => sources.contains(&format!("(Fault::{kind}, ")) || sources.contains(&format!("(Trouble::{kind}, ")),
        None => sources.contains(&format!("fn {name}()")),
    }
}

fn collect(folder: &Path, sources: &mut String) -> Result<(), String> {
    let unreadable = |error| format!("can't list {}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() {
            collect(&path, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(&path).map_err(unreadable)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_names_no_existing_test_is_wrong() {
        let sources = "fn it_holds() {}\n(Fault::Kill, 30),";
        assert_eq!(fault("| kill | nothing is lost | `it_holds`, `sim: Kill` |", sources), None);
        assert_eq!(fault("text", sources), None);
        for wrong in
            ["| kill | nothing is lost | |", "| kill | nothing is lost | `it_does_not` |", "| kill | nothing is lost | `sim: Flood` |"]
        {
            assert!(fault(wrong, sources).is_some(), "{wrong}");
        }
    }
}
