//! Measures the journal: how fast groups are written, flushed, checked at a start, and read back.
//!
//! `cargo run --release -p limosa-store --example journal_speed -- [MEGABYTES] [FOLDER]`
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use limosa_store::disk::RealDisk;
use limosa_store::journal::{Group, Journal, JournalOptions, Owner, Point, Position, RecordKind};

const OWNER: Owner = Owner { cluster: [1; 16], incarnation: 1 };

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let megabytes: u64 = args.next().map_or(Ok(200), |text| text.parse())?;
    let dir = args.next().map_or_else(std::env::temp_dir, PathBuf::from).join("journal-speed");
    println!("records a group  write MB/s  with a flush a group: groups/s  open MB/s  read MB/s");
    for records in [1, 16, 256] {
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir)?;
        measure(&dir, records, megabytes * 1_000_000)?;
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

fn open(dir: &Path) -> Result<Journal, Box<dyn Error>> {
    let (journal, _) = Journal::open(Arc::new(RealDisk), dir, OWNER, JournalOptions::default(), Point::genesis(&OWNER))?;
    Ok(journal)
}

fn measure(dir: &Path, records: u64, bytes: u64) -> Result<(), Box<dyn Error>> {
    let mut journal = open(dir)?;
    let groups = bytes / (records * 160);
    let write_rate = write(&mut journal, records, groups, false)? * records as f64 * 160.0 / 1e6;
    journal.flush()?;
    let flush_rate = write(&mut journal, records, 300, true)?;
    drop(journal);
    let started = Instant::now();
    let journal = open(dir)?;
    let total = (groups + 300) as f64 * records as f64 * 160.0 / 1e6;
    let open_rate = total / started.elapsed().as_secs_f64();
    let started = Instant::now();
    let mut reader = journal.handle().reader(Position(1))?;
    let mut read = 0;
    while let Some(group) = reader.next_group()? {
        read += group.records().count() as u64;
    }
    assert_eq!(read, (groups + 300) * records);
    let read_rate = total / started.elapsed().as_secs_f64();
    println!("{records:15} {write_rate:11.0} {flush_rate:31.0} {open_rate:10.0} {read_rate:10.0}");
    Ok(())
}

/// Groups of records of about 160 bytes; answers groups a second.
fn write(journal: &mut Journal, records: u64, groups: u64, flushes: bool) -> Result<f64, Box<dyn Error>> {
    let mut group = Group::new(journal.end().position.next());
    let started = Instant::now();
    for _ in 0..groups {
        group.restart(journal.end().position.next());
        for _ in 0..records {
            group.push(RecordKind::Commit, &[5; 157])?;
        }
        journal.write(&mut group)?;
        if flushes {
            journal.flush()?;
        }
    }
    Ok(groups as f64 / started.elapsed().as_secs_f64())
}
