//! Whether the files that a diverged standby set aside hold what it had written itself.

use std::collections::HashMap;

use serde_json::Value;

use super::control::Control;
use super::error::DemoError;
use super::fact::Fact;
use super::model::Key;

/// How many of `written` no quarantine file of the node holds.
pub(super) fn missing(control: &Control, written: &HashMap<Key, Fact>) -> Result<usize, DemoError> {
    let mut missing = written.clone();
    for file in control.quarantine()? {
        let mut first = 0;
        loop {
            let page = control.quarantined(&file.name, first)?;
            for (key, fact) in page.records.iter().filter_map(entry) {
                if missing.get(&key).is_some_and(|wanted| *wanted == fact) {
                    missing.remove(&key);
                }
            }
            first += page.records.len() as u64;
            if !page.more || page.records.is_empty() {
                break;
            }
        }
    }
    Ok(missing.len())
}

/// Key and value of a record, if it holds a string.
fn entry(record: &Value) -> Option<(Key, Fact)> {
    let key = bytes(record, "key")?;
    let value = bytes(record, "value")?;
    Some((key.into(), Fact::of(&value, record.get("expiry_ms")?.as_u64()?)))
}

/// A field that is text, or else base64.
fn bytes(record: &Value, field: &str) -> Option<Vec<u8>> {
    if let Some(text) = record.get(field) {
        return Some(text.as_str()?.as_bytes().to_vec());
    }
    from_base64(record.get(format!("{field}_base64"))?.as_str()?)
}

/// Base64 with padding (RFC 4648, section 4).
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0u32, 0);
    for byte in text.bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from(bits >> held & 0xFF).expect("eight bits"));
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_whether_they_are_text_or_not() {
        let record = serde_json::json!({"key": "a", "value_base64": "/wABAg==", "expiry_ms": 7});
        assert_eq!(entry(&record), Some((Key::from(&b"a"[..]), Fact::of(&[0xFF, 0, 1, 2], 7))));
        let deleted = serde_json::json!({"key": "a", "deleted": true});
        assert_eq!(entry(&deleted), None);
        assert_eq!(from_base64("Zm9vYmFy").as_deref(), Some(&b"foobar"[..]));
        assert_eq!(from_base64("Zm9vYg==").as_deref(), Some(&b"foob"[..]));
        assert_eq!(from_base64("Zm 9"), None);
    }
}
