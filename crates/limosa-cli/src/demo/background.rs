//! Writes to the owner at a bounded rate while a transfer is cut: each write is repeated until it is answered, so that none is unknown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::content::Put;
use super::error::DemoError;
use super::writer::Writer;

/// Between two batches.
const BATCH_EVERY: Duration = Duration::from_millis(20);
/// For an owner to come back.
const AWAY_MAX: Duration = Duration::from_secs(120);

/// A thread that writes.
pub(super) struct Background {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Vec<Put>, DemoError>>>,
}

impl Background {
    /// Writes `puts` in order, `per_second`, to the owner at `address`, until it is stopped or all are written.
    pub(super) fn start(address: SocketAddr, puts: Vec<Put>, per_second: u64) -> Result<Self, DemoError> {
        let stop = Arc::new(AtomicBool::new(false));
        let write = {
            let stop = stop.clone();
            move || write(address, puts, per_second, &stop)
        };
        let thread = thread::Builder::new().name("demo-writer".to_owned()).spawn(write);
        let thread = thread.map_err(|source| DemoError::NotStarted { what: "the thread that goes on writing", source })?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Stops it; answers what was written.
    pub(super) fn finish(mut self) -> Result<Vec<Put>, DemoError> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it is taken only here and when dropped");
        thread.join().expect("a panic of the thread is a broken invariant")
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // the demo is failing already
        }
    }
}

fn write(address: SocketAddr, mut puts: Vec<Put>, per_second: u64, stop: &AtomicBool) -> Result<Vec<Put>, DemoError> {
    let started = Instant::now();
    let mut written = 0;
    let mut writer = None;
    while written < puts.len() && !stop.load(Ordering::Relaxed) {
        let due = usize::try_from(started.elapsed().as_millis() * u128::from(per_second) / 1000).unwrap_or(usize::MAX);
        let batch = &puts[written..due.clamp(written, puts.len()).min(written + 1000)];
        until_answered(address, batch, &mut writer, stop)?;
        written += batch.len();
        thread::sleep(BATCH_EVERY);
    }
    puts.truncate(written);
    Ok(puts)
}

/// A connection that broke leaves it unknown which writes were done: all of them are made again, which changes nothing where they were.
fn until_answered(address: SocketAddr, batch: &[Put], writer: &mut Option<Writer>, stop: &AtomicBool) -> Result<(), DemoError> {
    let started = Instant::now();
    loop {
        let done = try_write(address, batch, writer);
        match done {
            Ok(()) => return Ok(()),
            Err(DemoError::Broken { .. }) if started.elapsed() < AWAY_MAX => *writer = None,
            Err(error) => return Err(error),
        }
        // Stopped in between only when the demo fails: otherwise the owner is back before.
        if stop.load(Ordering::Relaxed) && started.elapsed() > Duration::from_secs(5) {
            return Err(DemoError::Interrupted);
        }
        thread::sleep(BATCH_EVERY);
    }
}

fn try_write(address: SocketAddr, batch: &[Put], writer: &mut Option<Writer>) -> Result<(), DemoError> {
    if batch.is_empty() {
        return Ok(());
    }
    let writer = match writer {
        Some(writer) => writer,
        None => writer.insert(Writer::connect("owner", address)?),
    };
    batch.iter().try_for_each(|put| writer.put(put))?;
    writer.finish()
}
