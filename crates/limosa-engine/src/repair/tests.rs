//! State and one input give exactly these actions.

use super::*;
use limosa_core::columns::ColumnsBuilder;
use limosa_core::{Digest, EntryRef, Expiry, Kind, LiveRef, Mode};

const ID: FragmentId = FragmentId(4);
const T0: Duration = Duration::ZERO;

fn range(start: &'static str, end: Option<&'static str>) -> KeyRange {
    KeyRange::new(start.as_bytes(), end.map(|end| Bytes::from_static(end.as_bytes())))
}

fn block(start: &'static str, end: Option<&'static str>) -> Damaged {
    Damaged { fragment: ID, range: range(start, end), live_bytes: 100 }
}

fn frame(range: KeyRange, key: &str, value_bytes: usize) -> Frame {
    let mut rows = ColumnsBuilder::default();
    let value = vec![7; value_bytes];
    let live = LiveRef { kind: Kind::STRING, expiry: Expiry::NEVER, value: &value };
    rows.push(EntryRef { key: key.as_bytes(), version: Version::new(1, 5), live: Some(live) });
    let (mode, from, to) = (Mode::ReplaceRange, Version::ZERO, Version::new(1, 9));
    Frame { fragment: ID, mode, range, from, to, range_deletes: Vec::new(), entries: rows.finish(), digest: Digest::ZERO }
}

fn fetched(number: u64, frame: Option<Frame>) -> Message {
    let why_not = if frame.is_some() { String::new() } else { "its block is damaged too".to_owned() };
    Message::Fetched(Box::new(Fetched { number, frame, floor: Version::new(1, 2), why_not }))
}

fn opened() -> Repair {
    let mut repair = Repair::default();
    repair.open();
    repair
}

fn asks(repair: &mut Repair) -> Option<(u64, KeyRange)> {
    match repair.poll()? {
        Action::Send(Message::Fetch(fetch)) => Some((fetch.number, fetch.range)),
        other => panic!("no question: {other:?}"),
    }
}

#[test]
fn a_damaged_block_is_asked_for_part_by_part_and_mended_once() {
    let mut repair = opened();
    repair.damaged(T0, vec![block("b", Some("f"))]);
    assert_eq!(asks(&mut repair), Some((1, range("b", Some("f")))));
    repair.damaged(T0, vec![block("b", Some("f"))]);
    assert_eq!(repair.poll(), None, "asked for once");
    let (first, rest) = (frame(range("b", Some("d")), "b", 10), frame(range("d", Some("f")), "e", 10));
    repair.handle(T0, fetched(1, Some(first.clone()))).expect("an answer");
    assert_eq!(asks(&mut repair), Some((2, range("d", Some("f")))));
    repair.handle(T0, fetched(2, Some(rest.clone()))).expect("an answer");
    let floor = Version::new(1, 2);
    let mend = Action::Mend { fragment: ID, first_key: Bytes::from_static(b"b"), frames: vec![first, rest], floor };
    assert_eq!((repair.poll(), repair.poll()), (Some(mend), None));
    repair.mended(T0, Ok(()));
    repair.damaged(T0, Vec::new());
    assert_eq!((repair.poll(), repair.waits_for()), (None, None));
}

#[test]
fn an_end_that_has_another_block_is_asked_again_later_and_other_blocks_go_first() {
    let mut repair = opened();
    let blocks = || vec![block("b", Some("c")), block("x", None)];
    repair.damaged(T0, blocks());
    assert_eq!(asks(&mut repair).map(|(number, _)| number), Some(1));
    repair.handle(T0, fetched(1, Some(frame(range("b", Some("c")), "b", 3)))).expect("an answer");
    assert!(matches!(repair.poll(), Some(Action::Mend { .. })));
    repair.mended(T0, Err("its digest is another".to_owned()));
    assert_eq!(asks(&mut repair), Some((2, range("x", None))), "the next block does not wait");
    assert_eq!(repair.waits_for(), Some("its digest is another"));
    repair.handle(T0, fetched(2, None)).expect("an answer");
    repair.damaged(T0, blocks());
    assert_eq!(repair.poll(), None, "both wait");
    repair.tick(WAIT_MIN);
    assert_eq!(asks(&mut repair), Some((3, range("b", Some("c")))));
    repair.handle(WAIT_MIN, fetched(3, None)).expect("an answer");
    assert_eq!(asks(&mut repair), Some((4, range("x", None))));
    repair.tick(WAIT_MIN * 3);
    assert_eq!(repair.poll(), None, "one question at a time");
    repair.handle(WAIT_MIN, fetched(4, None)).expect("an answer");
    repair.tick(WAIT_MIN * 2);
    assert_eq!(repair.poll(), None, "the second wait is longer");
    repair.tick(WAIT_MIN * 3);
    assert_eq!(asks(&mut repair), Some((5, range("b", Some("c")))));
}

#[test]
fn a_block_that_is_no_longer_damaged_is_not_asked_for_again() {
    let mut repair = opened();
    repair.damaged(T0, vec![block("b", Some("c"))]);
    assert!(asks(&mut repair).is_some());
    repair.handle(T0, fetched(1, None)).expect("an answer");
    repair.damaged(T0, Vec::new());
    repair.tick(WAIT_MAX);
    assert_eq!((repair.poll(), repair.waits_for()), (None, None));
}

#[test]
fn nothing_is_asked_or_answered_without_the_feature() {
    let mut repair = Repair::default();
    repair.damaged(T0, vec![block("b", None)]);
    assert_eq!(repair.poll(), None);
    let fetch = Message::Fetch(Fetch { number: 1, fragment: ID, range: range("a", None) });
    assert_eq!(repair.handle(T0, fetch).map_err(|error| error.code()), Err("session.malformed"));
    repair.open();
    repair.tick(T0);
    assert!(asks(&mut repair).is_some(), "it was only waiting");
}

#[test]
fn one_question_is_answered_at_a_time() {
    let mut repair = opened();
    let fetch = |number| Fetch { number, fragment: ID, range: range("a", None) };
    repair.handle(T0, Message::Fetch(fetch(1))).expect("the first");
    assert_eq!(repair.poll(), Some(Action::Read(fetch(1))));
    let Message::Fetched(answer) = fetched(1, None) else { unreachable!("made so") };
    repair.read(*answer);
    assert!(matches!(repair.poll(), Some(Action::Send(Message::Fetched(_)))));
    repair.handle(T0, Message::Fetch(fetch(2))).expect("the next");
    assert_eq!(repair.handle(T0, Message::Fetch(fetch(3))).map_err(|error| error.code()), Err("session.malformed"));
}

#[test]
fn answers_that_can_not_be_are_refused() {
    let good = || Some(frame(range("b", Some("c")), "b", 3));
    let other_fragment = Frame { fragment: FragmentId(9), ..frame(range("b", Some("c")), "b", 3) };
    let cases = [
        ("another number", fetched(7, good())),
        ("another start", fetched(1, Some(frame(range("bb", Some("c")), "bb", 3)))),
        ("beyond the block", fetched(1, Some(frame(range("b", None), "b", 3)))),
        ("another fragment", fetched(1, Some(other_fragment))),
    ];
    for (name, answer) in cases {
        let mut repair = opened();
        repair.damaged(T0, vec![block("b", Some("c"))]);
        assert_eq!(repair.handle(T0, answer).map_err(|error| error.code()), Err("session.malformed"), "{name}");
    }
    let mut repair = opened();
    assert!(repair.handle(T0, fetched(0, good())).is_err(), "nothing was asked");
}

#[test]
fn what_is_held_of_an_answer_is_bounded_by_what_the_block_had() {
    let mut repair = opened();
    repair.damaged(T0, vec![block("b", Some("z"))]);
    let starts = ["b", "c", "d", "e", "f"];
    for (number, pair) in (1..).zip(starts.windows(2)) {
        let Some((asked, _)) = asks(&mut repair) else {
            assert_eq!(repair.waits_for(), Some("the other end has more in the block's range than the block had"));
            return;
        };
        assert_eq!(asked, number);
        let part = frame(range(pair[0], Some(pair[1])), pair[0], FRAME_BYTES_BULK);
        repair.handle(T0, fetched(number, Some(part))).expect("a part");
    }
    panic!("the machine took all of it");
}
