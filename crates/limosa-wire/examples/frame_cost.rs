//! Prints what frames cost on the wire and in CPU, for four kinds of content. Run with `--release`.
#![allow(clippy::print_stdout, clippy::cast_precision_loss)] // it prints figures

use std::time::{Duration, Instant};

use bytes::Bytes;
use limosa_core::columns::ColumnsBuilder;
use limosa_core::limits::{FRAME_BYTES_BULK, FRAME_BYTES_INTERACTIVE};
use limosa_core::{Digest, EntryRef, Expiry, FragmentId, Frame, KeyRange, Kind, LiveRef, Mode, Version, key};
use limosa_wire::{Compression, Context, FrameMessage, Message, decode, encode_with};

/// xorshift64*: noise that no compressor shrinks.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn fill(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() >> 56) as u8).collect()
    }
}

struct Case {
    name: &'static str,
    /// Keys that the space has, of which one in `every` is in the frames.
    keys: u64,
    every: u64,
    value: fn(&mut Noise, u64) -> Vec<u8>,
}

fn json(noise: &mut Noise, id: u64) -> Vec<u8> {
    let (amount, when) = (noise.next() % 100_000, 1_790_000_000 + noise.next() % 1_000_000);
    let status = ["open", "paid", "shipped", "returned"][(noise.next() % 4) as usize];
    format!(
        "{{\"order_id\":{id},\"customer\":\"c{:06}\",\"status\":\"{status}\",\"amount\":{}.{:02},\"currency\":\"EUR\",\"updated_at\":{when}}}",
        noise.next() % 1_000_000,
        amount / 100,
        amount % 100
    )
    .into_bytes()
}

const CASES: [Case; 6] = [
    Case { name: "1 KB random", keys: 20_000, every: 1, value: |noise, _| noise.fill(1000) },
    Case { name: "100 B random", keys: 200_000, every: 1, value: |noise, _| noise.fill(100) },
    Case { name: "JSON, about 130 B", keys: 150_000, every: 1, value: json },
    Case { name: "1 % delta, 100 B random", keys: 4_000_000, every: 100, value: |noise, _| noise.fill(100) },
    Case { name: "one in 10^5, 100 B random", keys: 500_000_000, every: 100_000, value: |noise, _| noise.fill(100) },
    Case { name: "1 % delta, 1 KB random", keys: 2_000_000, every: 100, value: |noise, _| noise.fill(1000) },
];

/// Stored keys in order, as a hashed space has them: `user:` and fifteen digits.
fn keys(case: &Case) -> Vec<Vec<u8>> {
    let mut keys: Vec<Vec<u8>> =
        (0..case.keys / case.every).map(|i| key::stored(format!("user:{:015}", i * case.every).as_bytes())).collect();
    keys.sort();
    keys
}

fn frames(case: &Case, frame_bytes: usize) -> Vec<Message> {
    let mut noise = Noise(0x5EED);
    let to = Version::new(2, 600_000_000);
    let mut frames = Vec::new();
    let mut builder = ColumnsBuilder::default();
    let close = |builder: ColumnsBuilder, number: usize| {
        let (range, from, entries) = (KeyRange::ALL, Version::new(2, to.seq - case.keys), builder.finish());
        let frame =
            Frame { fragment: FragmentId(1), mode: Mode::Advance, range, from, to, range_deletes: vec![], entries, digest: Digest(7) };
        Message::Frame(FrameMessage { number: number as u64, drops: vec![], frame })
    };
    for (i, key) in (0..).zip(keys(case)) {
        let value = (case.value)(&mut noise, i);
        let version = Version::new(2, to.seq - noise.next() % case.keys);
        let live = LiveRef { kind: Kind::STRING, expiry: Expiry::NEVER, value: &value };
        builder.push(EntryRef { key: &key, version, live: Some(live) });
        if builder.payload_bytes() >= frame_bytes {
            frames.push(close(std::mem::take(&mut builder), frames.len() + 1));
        }
    }
    frames.push(close(builder, frames.len() + 1));
    frames
}

/// The best of several runs: other work on the machine only ever adds.
fn best(run: impl Fn()) -> Duration {
    let timed = || {
        let started = Instant::now();
        run();
        started.elapsed()
    };
    (0..7).map(|_| timed()).min().expect("there were runs")
}

fn measure(case: &Case, frame_bytes: usize, compression: Compression) {
    let frames = frames(case, frame_bytes);
    let of = |message: &Message| {
        if let Message::Frame(message) = message { (message.frame.entries.len(), message.frame.entries.payload_bytes()) } else { (0, 0) }
    };
    let (entries, payload) = frames.iter().map(of).fold((0, 0), |(entries, bytes), (e, b)| (entries + e, bytes + b));
    let encode =
        || frames.iter().map(|frame| encode_with(frame, &Context::default(), compression).expect("within limits")).collect::<Vec<_>>();
    let encoding = best(|| drop(encode()));
    let encoded = encode();
    let wire: usize = encoded.iter().map(limosa_wire::Encoded::len).sum();
    let received: Vec<Bytes> = encoded.iter().map(limosa_wire::Encoded::to_bytes).collect();
    let decoding = best(|| {
        for (message, bytes) in frames.iter().zip(&received) {
            assert_eq!(decode(bytes.clone()).as_ref().map(|(message, _)| of(message)), Ok(of(message)));
        }
    });
    println!(
        "{:<26} {:>7} {:<6} {:>7} {:>8.3} {:>12.2} {:>12.0} {:>12.0}",
        case.name,
        frame_bytes >> 10,
        if compression == Compression::Never { "raw" } else { "zstd" },
        entries / frames.len(),
        wire as f64 / payload as f64,
        (wire as f64 - payload as f64) / entries as f64,
        payload as f64 / 1e6 / encoding.as_secs_f64(),
        payload as f64 / 1e6 / decoding.as_secs_f64(),
    );
}

fn main() {
    println!("Stored keys have 24 bytes. Ratio: bytes on the wire to bytes of keys and values.");
    println!(
        "{:<26} {:>7} {:<6} {:>7} {:>8} {:>12} {:>12} {:>12}",
        "content", "KiB", "mode", "entries", "ratio", "extra B/entry", "encode MB/s", "decode MB/s"
    );
    for case in &CASES {
        for frame_bytes in [FRAME_BYTES_BULK, FRAME_BYTES_INTERACTIVE] {
            for compression in [Compression::Never, Compression::WhereItShrinks] {
                measure(case, frame_bytes, compression);
            }
        }
    }
}
