//! That a full scan meets every key that stays, whatever else changes meanwhile.

use std::collections::BTreeSet;

use limosa_core::Expiry;
use proptest::prelude::*;

use super::super::super::keyspace::{Backend, Keyspace};
use super::super::super::memory::Memory;
use super::*;

fn memory(keys: impl IntoIterator<Item = String>) -> Memory {
    let memory = Memory::default();
    let mut head = memory.begin(true);
    for key in keys {
        head.set(key.as_bytes(), b"", Expiry::NEVER).expect("memory does not fail");
    }
    head.commit();
    drop(head);
    memory.flush().expect("memory does not fail");
    memory
}

fn delete(memory: &Memory, key: &str) {
    let mut head = memory.begin(true);
    head.delete(key.as_bytes(), 0).expect("memory does not fail");
    head.commit();
    drop(head);
    memory.flush().expect("memory does not fail");
}

/// Scans to the end; `between` runs after each page with what it brought.
fn scan_all(memory: &Memory, count: usize, mut between: impl FnMut(&[String])) -> Vec<String> {
    let (mut cursor, mut all) = (Cursor { slot: 0, hash: 0 }, vec![]);
    for _ in 0..100_000 {
        let filter = Filter { pattern: None, is_string: true, count };
        let mut page = Page { found: Found::default(), seen: 0, now_ms: 1, filter };
        let next = page.fill(&memory.cut(), cursor).expect("memory does not fail");
        let mut start = 0;
        let mut keys = vec![];
        for &end in &page.found.ends {
            keys.push(String::from_utf8(page.found.bytes[start..end].to_vec()).expect("the test's keys are text"));
            start = end;
        }
        between(&keys);
        all.extend(keys);
        let Some(next) = next else { return all };
        cursor = Cursor::parse(next.value().to_string().as_bytes()).expect("a cursor reads what it wrote");
    }
    panic!("the scan does not end");
}

#[test]
fn a_full_scan_meets_every_key_once() {
    let names = || (0..500).map(|i| format!("key:{i}")).chain((0..1000).map(|i| format!("{{tag}}:{i}")));
    let memory = memory(names());
    for count in [1, 3, 10, 127, 1000, usize::MAX] {
        let all = scan_all(&memory, count, |_| {});
        assert_eq!(all.len(), 1500, "COUNT {count}");
        assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), names().collect());
    }
}

#[test]
fn a_page_is_not_much_longer_than_asked_for() {
    let memory = memory((0..5000).map(|i| format!("{{tag}}:{i}")));
    scan_all(&memory, 10, |page| assert!(page.len() <= 5000 / PAGES_PER_SLOT + 1));
}

#[test]
fn deleting_what_was_returned_ends_and_misses_nothing() {
    let memory = memory((0..2000).map(|i| format!("{{tag}}:{i}")));
    let all = scan_all(&memory, 10, |page| page.iter().for_each(|key| delete(&memory, key)));
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), 2000);
    assert_eq!(memory.cut().key_count(), 0);
}

#[test]
fn a_cursor_that_is_no_number_is_refused() {
    for text in ["", "-1", "a", "1 ", "18446744073709551616"] {
        assert_eq!(Cursor::parse(text.as_bytes()), Err(CommandError::Cursor), "{text}");
    }
    assert!(Cursor::parse(b"18446744073709551615").is_ok());
}

proptest! {
    #[test]
    fn a_key_that_stays_is_met_while_others_come_and_go(seed in any::<u64>(), count in 1usize..40) {
        let name = |i: u64| if i.is_multiple_of(3) { format!("{{tag}}:{i}") } else { format!("key:{i}") };
        let memory = memory((0..600).map(name));
        let mut random = seed;
        let met = scan_all(&memory, count, |_| {
            random = mix(random.wrapping_add(1));
            let number = random % 600;
            if number.is_multiple_of(2) {
                delete(&memory, &name(number));
            }
        });
        let met: BTreeSet<_> = met.into_iter().collect();
        for i in (1..600).step_by(2) {
            prop_assert!(met.contains(&name(i)), "{} was missed", name(i));
        }
    }
}
