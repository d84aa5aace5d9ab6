//! A relay on loopback that passes one direction at a chosen rate: a slow link without privileges.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes passed at once; small beside what the rates here pass in a second.
const PIECE_BYTES: usize = 16 << 10;

/// A running relay; connections end with it.
pub(super) struct Throttle {
    pub(super) port: u16,
    rate: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Throttle {
    /// Relays to `to` on loopback, without a limit at first.
    pub(super) fn start(to: u16) -> Result<Self, String> {
        let describe = |error| format!("no relay: {error}");
        let listener = TcpListener::bind("127.0.0.1:0").map_err(describe)?;
        let port = listener.local_addr().map_err(describe)?.port();
        let (rate, stop) = (Arc::new(AtomicU64::new(u64::MAX)), Arc::new(AtomicBool::new(false)));
        let (limit, stopped) = (rate.clone(), stop.clone());
        thread::spawn(move || {
            for inward in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(outward) = TcpStream::connect(("127.0.0.1", to)) else { continue };
                let (Ok(from_target), Ok(to_source)) = (inward.try_clone(), outward.try_clone()) else { continue };
                let (unlimited, limit) = (Arc::new(AtomicU64::new(u64::MAX)), limit.clone());
                thread::spawn(move || pass(from_target, to_source, &unlimited));
                thread::spawn(move || pass(outward, inward, &limit));
            }
        });
        Ok(Self { port, rate, stop })
    }

    /// Bytes a second from the far end to whoever dialled, from now on; `None`: no limit.
    pub(super) fn limit(&self, bytes_per_second: Option<u64>) {
        self.rate.store(bytes_per_second.unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(("127.0.0.1", self.port))); // wakes the listener
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, rate: &AtomicU64) {
    let mut bytes = [0; PIECE_BYTES];
    loop {
        let start = Instant::now();
        let count = match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
        let limit = rate.load(Ordering::Relaxed);
        if limit != u64::MAX {
            let due = Duration::from_nanos((count as u64).saturating_mul(1_000_000_000) / limit.max(1));
            thread::sleep(due.saturating_sub(start.elapsed()));
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both); // the other direction ends too
    let _ = from.shutdown(std::net::Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limited_direction_is_slow_and_loses_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let relay = Throttle::start(listener.local_addr().expect("bound").port()).expect("it starts");
        relay.limit(Some(1 << 20));
        let sender = thread::spawn(move || listener.accept().expect("the relay dials").0.write_all(&vec![7; 256 << 10]));
        let start = Instant::now();
        let mut got = Vec::new();
        let mut client = TcpStream::connect(("127.0.0.1", relay.port)).expect("the relay listens");
        client.read_to_end(&mut got).expect("it ends in order");
        sender.join().expect("no panic").expect("everything was taken");
        assert!(got == vec![7; 256 << 10] && start.elapsed() >= Duration::from_millis(150), "{:?}", start.elapsed());
    }
}
