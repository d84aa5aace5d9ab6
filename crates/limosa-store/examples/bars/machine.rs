//! What the machine says: CPU seconds, resident memory, what its disk takes.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::input::Pool;

/// CPU seconds of this process, all threads: in steps of 10 ms.
pub(crate) fn process_cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").expect("Linux keeps it");
    let (_, fields) = text.rsplit_once(')').expect("the program's name is in brackets");
    let ticks = |n: usize| fields.split_whitespace().nth(n).and_then(|ticks| ticks.parse::<f64>().ok()).expect("a number");
    (ticks(11) + ticks(12)) / 100.0
}

/// What the thread's CPU clock says. The kernel brings it up to date when it schedules, hence the yield.
pub(crate) fn thread_cpu_seconds() -> f64 {
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux keeps it");
    text.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).expect("its first field is a number") / 1e9
}

pub(crate) fn resident_bytes() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux keeps it");
    text.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok()).expect("resident pages") * 4096.0
}

/// Bytes a second that a file in `folder` takes one after another, flushed at the end.
pub(crate) fn disk_bytes_per_second(folder: &Path, bytes: u64) -> f64 {
    let path = folder.join("sequential");
    let piece: Vec<u8> = Pool::new().value(0, 1 << 19).to_vec();
    let start = Instant::now();
    let mut file = File::create(&path).expect("the folder can be written");
    let mut written = 0;
    while written < bytes {
        file.write_all(&piece).expect("the disk has room");
        written += piece.len() as u64;
    }
    file.sync_data().expect("the disk works");
    let seconds = start.elapsed().as_secs_f64();
    std::fs::remove_file(&path).expect("it was made here");
    written as f64 / seconds
}

/// Flushes a second of small appends to one file, for `time`.
pub(crate) fn disk_flushes_per_second(folder: &Path, time: Duration) -> f64 {
    let path = folder.join("flushes");
    let mut file = File::create(&path).expect("the folder can be written");
    let (start, mut flushes) = (Instant::now(), 0);
    while start.elapsed() < time {
        file.write_all(&[7; 512]).expect("the disk has room");
        file.sync_data().expect("the disk works");
        flushes += 1;
    }
    let rate = f64::from(flushes) / start.elapsed().as_secs_f64();
    std::fs::remove_file(&path).expect("it was made here");
    rate
}
