//! redb and fjall with one entry for each key, under the load and reads of `cargo xtask bench --case store-rates`.
//!
//! `peers redb|fjall ENTRIES FOLDER` prints one line of JSON. Both keep everything in a cache that is large enough, commit 800 writes at a
//! time to the operating system and flush to the disk once a second: what the store calls interval durability.

#[path = "../../../crates/limosa-store/examples/bars/input.rs"]
mod input;
#[path = "../../../crates/limosa-store/examples/bars/machine.rs"]
#[allow(dead_code)] // the store's measurements use all of it
mod machine;

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use fjall::{KeyspaceCreateOptions, PersistMode};
use input::{Pool, key, shuffled};
use machine::{process_cpu_seconds, resident_bytes};
use redb::{Durability, ReadableDatabase, ReadableTable, TableDefinition};

const VALUE_BYTES: usize = 1024;
const BATCH: u64 = 800;
const CACHE_BYTES: usize = 4 << 30;
const TABLE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("entries");

type Result<T> = std::result::Result<T, Box<dyn Error>>;
type Row<'a> = ([u8; 16], &'a [u8]);

/// What is measured of a store of entries.
trait Peer {
    /// Commits `rows` to the operating system, or to the disk.
    fn write(&self, rows: &[Row<'_>], to_disk: bool) -> Result<()>;
    /// Reads keys `order(0..count)` and answers the values' bytes.
    fn read(&self, count: u64, order: &dyn Fn(u64) -> u64) -> Result<u64>;
    /// Copies all entries out in key order and answers their bytes.
    fn scan(&self) -> Result<u64>;
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [name, entries, folder] = &args[..] else { return Err("arguments: redb|fjall ENTRIES FOLDER".into()) };
    let (entries, folder, before) = (entries.parse()?, Path::new(folder), resident_bytes());
    let peer: Box<dyn Peer> = match &name[..] {
        "redb" => Box::new(Redb::open(folder)?),
        "fjall" => Box::new(Fjall::open(folder)?),
        _ => return Err("known are redb and fjall".into()),
    };
    let (pool, order) = (Pool::new(), shuffled(entries));
    let (load, _) = write_all(&*peer, entries, &pool, &order)?;
    let cpu = process_cpu_seconds();
    assert_eq!(peer.read(entries, &|i| order(i.wrapping_mul(7)))?, entries * VALUE_BYTES as u64);
    let reads = entries as f64 / (process_cpu_seconds() - cpu);
    let cpu = process_cpu_seconds();
    let scan = peer.scan()? as f64 / (process_cpu_seconds() - cpu) / 1e6;
    let (overwrites, per_second) = write_all(&*peer, entries, &pool, &|i| order(i.wrapping_mul(11) + 3))?;
    let memory = (resident_bytes() - before) / 1e6;
    println!(
        r#"{{"{name}_loads_per_core":{load},"{name}_reads_1kb_per_core":{reads},"{name}_scan_1kb_megabytes_per_core":{scan},"{name}_overwrites_per_core":{overwrites},"{name}_overwrites_per_second":{per_second},"{name}_resident_megabytes":{memory}}}"#
    );
    Ok(())
}

/// Writes a CPU second, and a second by the clock.
fn write_all(peer: &dyn Peer, entries: u64, pool: &Pool, order: &dyn Fn(u64) -> u64) -> Result<(f64, f64)> {
    let (cpu, start, mut flushed) = (process_cpu_seconds(), Instant::now(), Instant::now());
    for from in (0..entries).step_by(BATCH as usize) {
        let rows: Vec<Row> = (from..entries.min(from + BATCH)).map(|i| (key(order(i)), pool.value(i, VALUE_BYTES))).collect();
        let to_disk = flushed.elapsed() >= Duration::from_secs(1) || from + BATCH >= entries;
        peer.write(&rows, to_disk)?;
        if to_disk {
            flushed = Instant::now();
        }
    }
    Ok((entries as f64 / (process_cpu_seconds() - cpu), entries as f64 / start.elapsed().as_secs_f64()))
}

struct Redb(redb::Database);

impl Redb {
    fn open(folder: &Path) -> Result<Self> {
        Ok(Self(redb::Builder::new().set_cache_size(CACHE_BYTES).create(folder.join("peer.redb"))?))
    }
}

impl Peer for Redb {
    fn write(&self, rows: &[Row<'_>], to_disk: bool) -> Result<()> {
        let mut txn = self.0.begin_write()?;
        txn.set_durability(if to_disk { Durability::Immediate } else { Durability::None })?;
        let mut table = txn.open_table(TABLE)?;
        for (key, value) in rows {
            table.insert(&key[..], value)?;
        }
        drop(table);
        Ok(txn.commit()?)
    }

    fn read(&self, count: u64, order: &dyn Fn(u64) -> u64) -> Result<u64> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        let mut bytes = 0;
        for i in 0..count {
            bytes += table.get(&key(order(i))[..])?.ok_or("a key is not there")?.value().len() as u64;
        }
        Ok(bytes)
    }

    fn scan(&self) -> Result<u64> {
        let (mut out, mut bytes) = (Vec::new(), 0);
        for row in self.0.begin_read()?.open_table(TABLE)?.iter()? {
            let (key, value) = row?;
            bytes += copy(&mut out, key.value(), value.value());
        }
        Ok(bytes)
    }
}

struct Fjall(fjall::Database, fjall::Keyspace);

impl Fjall {
    fn open(folder: &Path) -> Result<Self> {
        let database = fjall::Database::builder(folder.join("peer")).cache_size(CACHE_BYTES as u64).open()?;
        let entries = database.keyspace("entries", KeyspaceCreateOptions::default)?;
        Ok(Self(database, entries))
    }
}

impl Peer for Fjall {
    fn write(&self, rows: &[Row<'_>], to_disk: bool) -> Result<()> {
        let mut batch = self.0.batch();
        for (key, value) in rows {
            batch.insert(&self.1, &key[..], *value);
        }
        batch.durability(Some(if to_disk { PersistMode::SyncData } else { PersistMode::Buffer })).commit()?;
        Ok(())
    }

    fn read(&self, count: u64, order: &dyn Fn(u64) -> u64) -> Result<u64> {
        let mut bytes = 0;
        for i in 0..count {
            bytes += self.1.get(key(order(i)))?.ok_or("a key is not there")?.len() as u64;
        }
        Ok(bytes)
    }

    fn scan(&self) -> Result<u64> {
        let (mut out, mut bytes) = (Vec::new(), 0);
        for row in self.1.iter() {
            let (key, value) = row.into_inner()?;
            bytes += copy(&mut out, &key, &value);
        }
        Ok(bytes)
    }
}

fn copy(out: &mut Vec<u8>, key: &[u8], value: &[u8]) -> u64 {
    if out.len() > 1 << 20 {
        out.clear();
    }
    out.extend_from_slice(key);
    out.extend_from_slice(value);
    std::hint::black_box(&*out);
    (key.len() + value.len()) as u64
}
