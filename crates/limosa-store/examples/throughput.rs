//! In-process SET and GET rates, with both durabilities. `cargo run --release -p limosa-store --example throughput [-- KEYS]`

#![allow(clippy::print_stdout, reason = "this program's purpose")]

use std::time::Instant;

use limosa_core::{Expiry, SpaceKeys};
use limosa_store::{Durability, Identity, Options, Store};

const BATCH: u64 = 800; // 50 clients with 16 commands in the pipeline

fn main() {
    let keys: u64 = std::env::args().nth(1).and_then(|arg| arg.parse().ok()).unwrap_or(200_000);
    for durability in [Durability::Interval, Durability::Commit] {
        let dir = std::env::temp_dir().join(format!("limosa-throughput-{}-{durability:?}", std::process::id()));
        let identity = Identity { cluster: [1; 16], node: "bench".into() };
        let mut options = Options::new(&dir, identity, SpaceKeys::derive(&[2; 32], "default"));
        options.durability = durability;
        let store = Store::open(options).expect("a fresh folder");
        store.open_epoch(0).expect("the disk works");
        println!("{durability:?}, {keys} keys of 100 bytes, a flush every {BATCH} commands");
        run(&store, keys, "SET new", true);
        run(&store, keys, "SET again", true);
        run(&store, keys, "GET", false);
        let started = Instant::now();
        let report = store.checkpoint().expect("the disk works");
        println!("  checkpoint   {:>10.1} MB/s ({} blocks)", report.bytes as f64 / 1e6 / started.elapsed().as_secs_f64(), report.blocks);
        drop(store);
        std::fs::remove_dir_all(&dir).expect("it was made here");
    }
}

fn run(store: &Store, keys: u64, what: &str, write: bool) {
    let mut value = [7u8; 100];
    let salt = what.len() as u64;
    let (started, cpu) = (Instant::now(), cpu_nanos());
    let mut flushing = std::time::Duration::ZERO;
    for i in 0..keys {
        let key = format!("key:{:012}", i.wrapping_mul(0x9E37_79B9_7F4A_7C15) % keys);
        let mut txn = store.begin();
        if write {
            value[..8].copy_from_slice(&(i ^ salt << 40).to_le_bytes());
            txn.set(key.as_bytes(), &value, Expiry::NEVER).expect("writable");
            txn.commit();
        } else {
            std::hint::black_box(txn.get(key.as_bytes(), 0).expect("readable"));
        }
        drop(txn);
        if write && i % BATCH == BATCH - 1 {
            let from = Instant::now();
            store.flush().expect("the disk works");
            flushing += from.elapsed();
        }
    }
    store.flush().expect("the disk works");
    let took = started.elapsed();
    let micros = |time: std::time::Duration| time.as_secs_f64() * 1e6 / keys as f64;
    let cpu = (cpu_nanos() - cpu) as f64 / 1e3 / keys as f64;
    let rate = keys as f64 / took.as_secs_f64();
    println!(
        "  {what:<10} {rate:>10.0} ops/s  {:.2} us each ({:.2} us of it in flushes), {cpu:.2} us of CPU",
        micros(took),
        micros(flushing)
    );
}

/// Time that this thread has spent on a CPU: on a shared machine the only figure that repeats. Linux only; 0 elsewhere.
fn cpu_nanos() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
}
