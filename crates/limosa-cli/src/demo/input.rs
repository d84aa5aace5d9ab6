//! Reads state from JSON Lines: one object a line, whose text is the value and one of whose fields is the key.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use limosa_core::limits::{USER_KEY_BYTES_MAX, USER_VALUE_BYTES_MAX};
use serde_json::Value;

use super::error::DemoError;
use super::model::Key;

/// Key and record, in the order of the file; of several records with one key the last.
pub(super) type Records = Vec<(Key, Box<[u8]>)>;

/// Fewest records with which scenes have something to change.
const RECORDS_MIN: usize = 100;

/// Most bytes of a line that are read: a value of the greatest size, and enough to see that it is longer.
const LINE_BYTES_MAX: u64 = USER_VALUE_BYTES_MAX as u64 + (1 << 10);

/// Reads a whole file.
pub(super) fn read(path: &Path, field: &str) -> Result<Records, DemoError> {
    let unreadable = |source| DemoError::Unreadable { path: path.to_owned(), source };
    let mut file = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut found: HashMap<Key, usize> = HashMap::new();
    let mut records = Records::new();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if file.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(unreadable)? == 0 {
            break;
        }
        let text = line.trim_ascii();
        if text.is_empty() {
            continue; // a file may end with an empty line
        }
        let key = key_of(text, field).map_err(|bad| bad.at(path, number))?;
        match found.get(&key) {
            Some(&index) => records[index].1 = text.into(),
            None => {
                found.insert(key.clone(), records.len());
                records.push((key, text.into()));
            }
        }
    }
    if records.len() < RECORDS_MIN {
        return Err(DemoError::TooFew { path: path.to_owned(), found: records.len(), needed: RECORDS_MIN });
    }
    Ok(records)
}

/// What is wrong with a line.
enum Bad {
    Record(String),
    Key(String),
}

impl Bad {
    fn at(self, path: &Path, line: u64) -> DemoError {
        let path = path.to_owned();
        match self {
            Self::Record(why) => DemoError::NoRecord { path, line, why },
            Self::Key(why) => DemoError::NoKey { path, line, why },
        }
    }
}

fn key_of(text: &[u8], field: &str) -> Result<Key, Bad> {
    if text.len() > USER_VALUE_BYTES_MAX {
        return Err(Bad::Record(format!("{} bytes, and a value has at most {USER_VALUE_BYTES_MAX}", text.len())));
    }
    let value: Value = serde_json::from_slice(text).map_err(|error| Bad::Record(format!("not JSON: {}", place(&error))))?;
    let Value::Object(object) = value else {
        return Err(Bad::Record(format!("{}, not an object", kind(&value))));
    };
    let key = match object.get(field) {
        None => return Err(Bad::Key(format!("no field `{field}`; it has {}", fields(&object)))),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(other) => return Err(Bad::Key(format!("the field `{field}` is {}, not a string or a number", kind(other)))),
    };
    match key.len() {
        0 => Err(Bad::Key(format!("the field `{field}` is empty"))),
        1..=USER_KEY_BYTES_MAX => Ok(key.into_bytes().into()),
        more => Err(Bad::Key(format!("the field `{field}` has {more} bytes, and a key has at most {USER_KEY_BYTES_MAX}"))),
    }
}

/// The parser's words without its line, which is always the first: the file's line is named already.
fn place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line").next().unwrap_or(&text);
    format!("{what} (column {})", error.column())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn fields(object: &serde_json::Map<String, Value>) -> String {
    const SHOWN: usize = 8;
    let names: Vec<String> = object.keys().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match (names.is_empty(), object.len() > SHOWN) {
        (true, _) => "none".to_owned(),
        (false, false) => names.join(", "),
        (false, true) => names.join(", ") + " and more",
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read_text(text: &str) -> Result<Records, DemoError> {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(text.as_bytes()).expect("room for a line");
        read(file.path(), "name")
    }

    fn good(count: usize) -> String {
        (0..count).map(|index| format!("{{\"name\": \"n{index}\", \"x\": {index}}}\n")).collect()
    }

    #[test]
    fn a_record_is_kept_as_it_was_written() {
        let records = read_text(&format!("{}{{ \"name\" : 7 }} \n\n{{\"name\":\"n0\",\"x\":\"newer\"}}", good(100))).expect("good lines");
        assert_eq!(records.len(), 101);
        assert_eq!(records[0], (Box::from(&b"n0"[..]), Box::from(&br#"{"name":"n0","x":"newer"}"#[..])), "the last of a key wins");
        assert_eq!(records[100], (Box::from(&b"7"[..]), Box::from(&b"{ \"name\" : 7 }"[..])));
    }

    #[test]
    fn a_bad_line_is_named_with_what_is_wrong_and_what_to_do() {
        for (bad, code, part) in [
            ("Package: bash", "demo.no_record", "not JSON"),
            ("{\"name\": \"a\"", "demo.no_record", "column"),
            ("[1, 2]", "demo.no_record", "an array, not an object"),
            ("{\"Name\": \"a\", \"b\": 1}", "demo.no_key", "it has `Name`, `b`"),
            ("{}", "demo.no_key", "it has none"),
            ("{\"name\": null}", "demo.no_key", "is null"),
            ("{\"name\": \"\"}", "demo.no_key", "is empty"),
        ] {
            let error = read_text(&format!("{}{bad}\n", good(2))).expect_err(bad);
            let text = error.to_string();
            assert_eq!(error.code(), code, "{text}");
            assert!(text.contains(", line 3: ") && text.contains(part), "{text}");
            assert!(error.is_usage() && !error.action().is_empty());
        }
        let long = format!("{{\"name\": \"{}\"}}", "x".repeat(USER_KEY_BYTES_MAX + 1));
        assert_eq!(read_text(&long).expect_err("a long key").code(), "demo.no_key");
    }

    #[test]
    fn an_empty_or_absent_file_is_refused() {
        assert_eq!(read_text("").expect_err("nothing in it").code(), "demo.too_few");
        assert_eq!(read_text("\n\n").expect_err("empty lines").code(), "demo.too_few");
        assert_eq!(
            read_text(&good(99)).expect_err("too few").to_string().split(": ").nth(1),
            Some("99 records, and a demo needs at least 100")
        );
        let error = read(Path::new("/nowhere/a.jsonl"), "name").expect_err("no such file");
        assert_eq!(error.code(), "demo.unreadable");
    }
}
