//! `docs/errors.md` explains every stable code of the source, and no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a source folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push(path);
        }
    }
}

/// `area.word`: lower-case letters and underscores on both sides of one dot.
fn is_code(text: &str) -> bool {
    let word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    text.split_once('.').is_some_and(|(area, rest)| word(area) && word(rest))
}

/// Codes among the string literals of `text`.
fn literals(text: &str) -> impl Iterator<Item = String> {
    text.split('"').skip(1).step_by(2).filter(|literal| is_code(literal)).map(str::to_owned)
}

/// The text from the first brace of `text` to the one that closes it.
fn body(text: &str) -> &str {
    let open = text.find('{').unwrap_or(text.len());
    let mut depth = 0_u32;
    for (at, c) in text[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return &text[open..open + at],
            '}' => depth -= 1,
            _ => {}
        }
    }
    &text[open..]
}

/// Codes that `source` gives: in the bodies of `fn code`, in fields and log events named `code`, and in refusals of orders.
fn codes_of(source: &str) -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for (at, _) in source.match_indices("fn code(&self)") {
        codes.extend(literals(body(&source[at..])));
    }
    for mark in ["code: \"", "code = \"", "refused(Turn::"] {
        for (at, _) in source.match_indices(mark) {
            let line = source[at..].lines().next().unwrap_or_default();
            codes.extend(literals(line).take(1));
        }
    }
    codes
}

fn in_source() -> BTreeSet<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root().join("crates")).expect("the crates") {
        sources(&entry.expect("an entry").path().join("src"), &mut files);
    }
    let is_test = |path: &&PathBuf| path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs");
    let mut codes = BTreeSet::new();
    for path in files.iter().filter(|path| !is_test(path)) {
        let text = fs::read_to_string(path).expect("a source file");
        codes.extend(codes_of(text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()));
    }
    codes
}

/// The first cell of every table row that holds a code.
fn documented(text: &str) -> Vec<String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    rows.filter(|(code, _)| is_code(code)).map(|(code, _)| code.to_owned()).collect()
}

#[test]
fn every_code_is_explained_and_every_explained_code_exists() {
    let text = fs::read_to_string(root().join("docs/errors.md")).expect("docs/errors.md");
    let documented = documented(&text);
    let known: BTreeSet<_> = documented.iter().cloned().collect();
    let source = in_source();
    assert!(source.len() > 50, "the scan finds the codes");
    assert_eq!(documented.len(), known.len(), "a code is explained twice");
    let missing: Vec<_> = source.difference(&known).collect();
    let gone: Vec<_> = known.difference(&source).collect();
    assert!(missing.is_empty() && gone.is_empty(), "not in docs/errors.md: {missing:?}; in docs/errors.md but not in the source: {gone:?}");
    for row in text.lines().filter(|line| line.starts_with("| `")) {
        assert_eq!(row.matches(" | ").count(), 3, "four cells: {row}");
    }
}

#[test]
fn the_scan_sees_codes_and_nothing_else() {
    let source = r#"
        pub fn code(&self) -> &'static str { match self { Self::A { .. } => "store.io", Self::B(inner) => inner.code() } }
        fn other() -> &'static str { "ca.pem" }
        let error = ControlError { code: "control.x", message: "node.toml is gone".to_owned() };
        tracing::warn!(code = "resp.stop", "a.b");
    "#;
    assert_eq!(codes_of(source).into_iter().collect::<Vec<_>>(), ["control.x", "resp.stop", "store.io"]);
}
