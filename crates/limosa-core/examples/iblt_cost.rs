//! Prints what reconciling two sets of ids costs: symbols and bytes for each difference, rounds, and CPU.
//!
//! `cargo run --release -p limosa-core --example iblt_cost`
#![allow(clippy::print_stdout, clippy::cast_precision_loss, missing_docs)]

use std::time::{Duration, Instant};

use limosa_core::iblt::{Decoder, Encoder, encode};

/// Blocks of 1,000,000 and of 10,000,000 entries.
const SETS: [u64; 2] = [15_625, 156_250];
const DIFFERENCES: [u64; 7] = [0, 1, 10, 100, 1_000, 10_000, 15_000];

fn main() {
    println!(
        "{:>8} {:>11} {:>8} {:>8} {:>10} {:>7} {:>10} {:>10}",
        "ids", "differences", "symbols", "each", "bytes each", "rounds", "encode ms", "decode ms"
    );
    for total in SETS {
        for differences in DIFFERENCES {
            print_case(total, differences);
        }
    }
}

fn print_case(total: u64, differences: u64) {
    let shared = total - differences / 2;
    let id = |i: u64| u64::from_le_bytes(blake3::hash(&i.to_le_bytes()).as_bytes()[..8].try_into().expect("a hash has 32 bytes"));
    let (remote, local): (Vec<u64>, Vec<u64>) =
        ((0..total).map(id).collect(), (0..shared).chain(1 << 40..(1 << 40) + differences.div_ceil(2)).map(id).collect());
    let (mut bytes, mut rounds, mut encoding, mut decoding) = (Vec::new(), 0, Duration::ZERO, Duration::ZERO);
    let mut encoder = timed(&mut encoding, || Encoder::new(remote, 1));
    let mut decoder = timed(&mut decoding, || Decoder::new(local, 1));
    while !decoder.finished() {
        let (first, count) = (encoder.next_index(), decoder.wanted());
        let symbols = timed(&mut encoding, || encoder.symbols(count));
        encode(symbols, first, total, &mut bytes);
        timed(&mut decoding, || decoder.add(symbols)).expect("honest symbols decode");
        rounds += 1;
    }
    let each = |amount: usize| amount as f64 / differences.max(1) as f64;
    println!(
        "{total:>8} {differences:>11} {:>8} {:>8.2} {:>10.1} {rounds:>7} {:>10.1} {:>10.1}",
        decoder.received(),
        each(decoder.received() as usize),
        each(bytes.len()),
        ms(encoding),
        ms(decoding),
    );
}

fn timed<T>(spent: &mut Duration, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    *spent += start.elapsed();
    result
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
