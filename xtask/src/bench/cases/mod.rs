//! The cases by name. A case builds what it needs, measures round by round, and adds values to its samples.

mod delta_scale;
mod demo;
mod failover;
mod first_copy;
mod flush_all;
mod large_values;
mod live_move;
mod memory;
mod memory_max;
mod peers;
mod scenes;
mod slow_standby;
mod store;
mod throughput;

use super::Bench;
use super::samples::Samples;

/// One case.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) run: fn(&Bench, &mut Samples) -> Result<(), String>,
}

pub(super) const CASES: &[Case] = &[
    Case { name: "scenes-1kb", about: "the demo's scenes with 1,000,000 random values of 1 KB", run: scenes::kilobyte },
    Case {
        name: "scenes-100b",
        about: "the demo's scenes 1, 2, 4 and 5 with 1,000,000 random values of 100 bytes",
        run: scenes::hundred_bytes,
    },
    Case { name: "first-copy", about: "scene 1 beside a full resync of Redis and a TLS copy into a flushed file", run: first_copy::run },
    Case { name: "delta-scale", about: "extracting a delta of 1,000 changes from 1,000,000 and 10,000,000 entries", run: delta_scale::run },
    Case { name: "throughput", about: "redis-benchmark against Limosa and Redis, both flushing once a second", run: throughput::run },
    Case {
        name: "flush-all",
        about: "FLUSHALL of 10,000,000 values of 100 bytes, with a client that asks every millisecond",
        run: flush_all::run,
    },
    Case {
        name: "slow-standby",
        about: "a standby behind a link with 1 % of the write rate for a minute: the owner's memory, and how it comes back",
        run: slow_standby::run,
    },
    Case {
        name: "large-values",
        about: "a value of 512 MB (quick: 64 MB) set and read through a socket beside clients with small values",
        run: large_values::run,
    },
    Case {
        name: "live-move",
        about: "half of 1,000,000 x 1 KB moves to an empty node under 10,000 requests a second, and back after 1 % changed",
        run: live_move::run,
    },
    Case {
        name: "failover",
        about: "the owner of 200,000 x 1 KB is killed under a load at ack level `standby`, and returns after 1 % changed",
        run: failover::run,
    },
    Case { name: "memory", about: "resident memory of 1,000,000 values of 100 bytes, against Redis", run: memory::run },
    Case {
        name: "memory-max",
        about: "1 GB of state in 256 MB of memory: peak, a hot set behind a scan, cold writes against cold reads",
        run: memory_max::run,
    },
    Case {
        name: "store-rates",
        about: "random reads, ordered scan and random overwrites of 1,000,000 entries in process",
        run: store::rates,
    },
    Case { name: "store-install", about: "installing the received frames of 1,000,000 x 1 KB, journal on tmpfs", run: store::install },
    Case { name: "store-commit", about: "64 writers that wait for the disk, against the disk's flush rate", run: store::commit },
    Case { name: "store-memory", about: "memory beside the keys and values of 2,000,000 x 100 bytes", run: store::memory },
    Case {
        name: "store-write-amp",
        about: "bytes written for each byte of random overwrites of 1,000,000 x 1 KB, state in memory, and the longest wait of a writer",
        run: store::write_amp,
    },
    Case { name: "store-write-amp-paged", about: "the same with four times as much state as memory", run: store::write_amp_paged },
    Case { name: "store-start", about: "start with 10,000,000 x 100 bytes: after a clean stop, and after kill -9", run: store::start },
    Case {
        name: "store-delta",
        about: "delta of random changes of 10,000,000 entries, against a full scan and an index of versions",
        run: store::delta,
    },
    Case { name: "store-peers", about: "redb and fjall with single entries, same load and reads as store-rates", run: peers::run },
];
