//! The two ends together: against set differences, against the paper's overhead, against hostile symbols, and the format's bytes.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// Random ids: a keyed PRF's outputs look like this.
fn ids(count: u64, stream: u64) -> Vec<u64> {
    let hash = |i: u64| *blake3::hash(&[stream.to_le_bytes(), i.to_le_bytes()].concat()).as_bytes();
    (0..count).map(|i| u64::from_le_bytes(hash(i)[..8].try_into().expect("a hash has 32 bytes"))).collect()
}

/// Decodes with `step` symbols at a time.
fn decode_in_steps(remote: &[u64], local: &[u64], salt: u64, step: usize) -> Decoder {
    let mut encoder = Encoder::new(remote.iter().copied(), salt);
    let mut decoder = Decoder::new(local.iter().copied(), salt);
    while !decoder.finished() {
        let first = encoder.next_index();
        let bytes = encoder.encoded(step);
        decoder.add_encoded(first, encoder.total(), &bytes).expect("honest symbols decode");
    }
    decoder
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn decoding_gives_exactly_the_difference_of_the_sets(
        shared in proptest::collection::vec(any::<u64>(), 0..300),
        remote in proptest::collection::vec(any::<u64>(), 0..60),
        local in proptest::collection::vec(any::<u64>(), 0..60),
        step in 1usize..70,
        salt in any::<u64>(),
    ) {
        let remote: Vec<u64> = shared.iter().chain(&remote).chain(&remote).copied().collect(); // duplicates count once
        let local: Vec<u64> = shared.iter().rev().chain(&local).copied().collect();
        let decoder = decode_in_steps(&remote, &local, salt, step);
        let (remote, local): (BTreeSet<u64>, BTreeSet<u64>) = (remote.into_iter().collect(), local.into_iter().collect());
        prop_assert_eq!(decoder.remote_only(), remote.difference(&local).copied().collect::<Vec<_>>());
        prop_assert_eq!(decoder.local_only(), local.difference(&remote).copied().collect::<Vec<_>>());
    }

    #[test]
    fn small_consecutive_ids_work_too(shared in 0u64..200, remote in 0u64..40, local in 0u64..40) {
        let decoder = decode_in_steps(
            &(0..shared + remote).collect::<Vec<_>>(),
            &(0..shared).chain(1000..1000 + local).collect::<Vec<_>>(), 0, 8,
        );
        prop_assert_eq!((decoder.remote_only().len() as u64, decoder.local_only().len() as u64), (remote, local));
    }

    #[test]
    fn hostile_bytes_never_panic_and_end(
        bytes in proptest::collection::vec(any::<u8>(), 0..2000), total in 0u64..100, local in 0u64..50, first in 0u64..3,
    ) {
        let mut decoder = Decoder::new(ids(local, 1), 5);
        let _ = decoder.add_encoded(first, total, &bytes);
    }

    #[test]
    fn a_flipped_byte_never_gives_a_wrong_difference(at in 0usize..40 * 13, with in 1u8..=255, salt in any::<u64>()) {
        let (remote, local) = (ids(500, 1), ids(490, 1));
        let mut encoder = Encoder::new(remote.iter().copied(), salt);
        let total = encoder.total();
        let mut bytes = encoder.encoded(400);
        bytes[at] ^= with;
        let mut decoder = Decoder::new(local.iter().copied(), salt);
        if decoder.add_encoded(0, total, &bytes) == Ok(true) {
            let expected: BTreeSet<u64> = remote[490..].iter().copied().collect();
            prop_assert_eq!(decoder.remote_only(), expected.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(decoder.local_only(), Vec::<u64>::new());
        }
    }
}

#[test]
fn equal_sets_need_one_symbol() {
    for count in [0, 1, 1000] {
        let decoder = decode_in_steps(&ids(count, 1), &ids(count, 1), 3, 1);
        assert_eq!((decoder.received(), decoder.remote_only(), decoder.local_only()), (1, vec![], vec![]));
    }
}

#[test]
fn one_empty_end_gives_all_of_the_other() {
    let mut all = ids(777, 1);
    all.sort_unstable();
    let (remote, local) = (decode_in_steps(&all, &[], 3, 50), decode_in_steps(&[], &all, 3, 50));
    assert_eq!((remote.remote_only(), remote.local_only()), (all.clone(), vec![]));
    assert_eq!((local.remote_only(), local.local_only()), (vec![], all));
}

#[test]
fn symbols_for_a_difference_stay_near_the_paper() {
    // (ids that differ, runs, most symbols for each on average); the paper: at most 1.72 on average, 1.35 for many
    for (differences, runs, max) in [(1, 200, 1.01), (4, 300, 1.9), (10, 200, 1.85), (100, 60, 1.6), (1_000, 10, 1.5), (10_000, 2, 1.45)] {
        let mut received = 0;
        for run in 0..runs {
            let (remote, local) = (ids(differences / 2 + 50, run), ids(50, run));
            let local: Vec<u64> = local.into_iter().chain(ids(differences.div_ceil(2), 1 << 40 | run)).collect();
            received += decode_in_steps(&remote, &local, run, 1 + usize::try_from(differences).expect("small") / 200).received();
        }
        #[allow(clippy::cast_precision_loss)]
        let mean = received as f64 / (runs * differences) as f64;
        assert!(mean <= max, "{differences} differences needed {mean:.3} symbols each");
    }
}

#[test]
fn asking_for_what_is_wanted_ends_soon_and_wastes_little() {
    for differences in [0, 1, 30, 1_000, 20_000] {
        let mut encoder = Encoder::new(ids(30_000, 1), 9);
        let mut decoder = Decoder::new(ids(30_000 - differences, 1), 9);
        let mut rounds = 0;
        while !decoder.finished() {
            let count = decoder.wanted();
            decoder.add(encoder.symbols(count)).expect("honest symbols decode");
            rounds += 1;
        }
        assert!(rounds <= 10, "{differences} differences took {rounds} rounds");
        assert!(decoder.received() <= 40 + differences * 7 / 4, "{differences} differences took {} symbols", decoder.received());
        assert_eq!(decoder.remote_only().len() as u64, differences);
    }
}

#[test]
fn random_symbols_end_in_a_typed_error() {
    let random = ids(3 * 2000 + 1000, 8);
    let mut bytes = Vec::new();
    for (index, id) in random.iter().enumerate() {
        bytes.extend_from_slice(&id.to_le_bytes());
        bytes.extend_from_slice(&id.to_be_bytes()[..4]);
        crate::varint::put(&mut bytes, if index == 0 { 0 } else { 1 + id % 2 });
    }
    let mut decoder = Decoder::new(ids(1000, 2), 1);
    let ended = bytes.chunks(13 * 10).enumerate().find_map(|(i, part)| decoder.add_encoded(10 * i as u64, 1000, part).err());
    assert!(matches!(ended, Some(IbltError::Hopeless { .. } | IbltError::Decode(_) | IbltError::Inconsistent { .. })), "{ended:?}");
}

#[test]
fn more_symbols_than_any_difference_needs_are_refused() {
    let mut encoder = Encoder::new(ids(10, 1), 1);
    let mut decoder = Decoder::new(ids(10, 2), 2); // another salt: nothing ever decodes
    let error = (0..).find_map(|_| decoder.add(encoder.symbols(16)).err()).expect("it ends");
    assert!(matches!(error, IbltError::Hopeless { differences_max: 20, received } if received <= 3 * 20 + 256 + 16), "{error}");
    assert_eq!(error.code(), "reconcile.hopeless");
}

#[test]
fn a_false_pure_symbol_is_found_out() {
    // the peer lies: symbol 1 names an id that no other symbol holds
    let mut lie = Symbol::ZERO;
    mapping::Member::new(42, 1).cover(std::slice::from_mut(&mut lie), 1);
    let mut symbols = Encoder::new(ids(5, 1), 1).symbols(200).to_vec();
    symbols[1] = lie;
    let mut decoder = Decoder::new([], 1);
    assert!(matches!(decoder.add(&symbols), Ok(false) | Err(IbltError::Inconsistent { .. })));
    assert!(!decoder.finished());
}

#[test]
fn symbols_out_of_order_are_refused() {
    let mut encoder = Encoder::new(ids(10, 1), 1);
    let bytes = encoder.encoded(4);
    let mut decoder = Decoder::new(ids(4, 1), 1);
    assert_eq!(decoder.add_encoded(1, 10, &bytes), Err(IbltError::OutOfOrder { expected: 0, found: 1 }));
    assert_eq!(decoder.add_encoded(0, 10, &bytes), Ok(false));
    assert_eq!(decoder.add_encoded(0, 10, &bytes), Err(IbltError::OutOfOrder { expected: 4, found: 0 }));
}

#[test]
fn symbols_take_14_bytes_or_little_more() {
    let mut encoder = Encoder::new(ids(15_625, 1), 1);
    assert!(encoder.encoded(2000).len() <= 2000 * 27 / 2);
}

#[test]
fn the_format_is_pinned() {
    let mut encoder = Encoder::new([0, 1, 0x0123_4567_89AB_CDEF, u64::MAX], 0x11);
    let symbols = [
        // id xor, check xor, count − expected
        "1132547698badcfe 3dcf580e 00",
        "efcdab8967452301 f1edbbdf 01",
        "feffffffffffffff da1ed9ad 00",
        "ffffffffffffffff 8c983158 02",
        "0000000000000000 00000000 01",
        "ffffffffffffffff 9aa40b24 00",
    ];
    let bytes: Vec<u8> = symbols.concat().replace(' ', "").as_bytes().chunks(2).map(byte_of_hex).collect();
    assert_eq!(encoder.encoded(6), bytes);
    assert_eq!(
        blake3::hash(&Encoder::new(ids(100, 1), 7).encoded(1000)).to_hex().as_str(),
        "b8d198cc5a3f9608c4a144286f007f1a8ad38eed3cb785e5e962b5777f501240"
    );
}

fn byte_of_hex(digits: &[u8]) -> u8 {
    let text = std::str::from_utf8(digits).expect("ASCII");
    u8::from_str_radix(text, 16).expect("two hexadecimal digits")
}
