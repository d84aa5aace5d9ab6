//! A relay between the standby and the owner's peer port, for scene 6: it stops after a given number of bytes, so that a transfer can be
//! cut in the middle of a frame on a fast and on a slow machine alike, and it can drop its connections, unread bytes and all.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::error::DemoError;

/// How often a quiet connection looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Bytes passed on at once.
const PIECE_BYTES: usize = 64 << 10;
/// No limit.
const UNLIMITED: u64 = u64::MAX;

/// A running relay.
pub(super) struct Relay {
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    /// Bytes that may still pass from the owner to the standby.
    allowance: AtomicU64,
    /// Connections of an older generation end.
    generation: AtomicU64,
    stop: AtomicBool,
}

impl Relay {
    /// Listens at `address` and passes everything on to `owner`.
    pub(super) fn start(address: SocketAddr, owner: SocketAddr) -> Result<Self, DemoError> {
        let not_started = |source| DemoError::NotStarted { what: "the relay of scene 6", source };
        let listener = TcpListener::bind(address).map_err(not_started)?;
        listener.set_nonblocking(true).map_err(not_started)?;
        let shared = Arc::new(Shared { allowance: AtomicU64::new(UNLIMITED), generation: AtomicU64::new(0), stop: AtomicBool::new(false) });
        let accepting = {
            let shared = shared.clone();
            thread::Builder::new().name("demo-relay".to_owned()).spawn(move || accept(&listener, owner, &shared)).map_err(not_started)?
        };
        Ok(Self { shared, accepting: Some(accepting) })
    }

    /// Lets `bytes` more pass towards the standby, then nothing.
    pub(super) fn allow(&self, bytes: u64) {
        self.shared.allowance.store(bytes, Ordering::SeqCst);
    }

    /// Lets everything pass.
    pub(super) fn open(&self) {
        self.allow(UNLIMITED);
    }

    /// Whether what was allowed has passed.
    pub(super) fn is_used_up(&self) -> bool {
        self.shared.allowance.load(Ordering::SeqCst) == 0
    }

    /// Drops every connection. Bytes that nobody read make the system send a reset.
    pub(super) fn reset(&self) {
        self.shared.generation.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.reset();
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join(); // a panic in it has been printed
        }
    }
}

fn accept(listener: &TcpListener, owner: SocketAddr, shared: &Arc<Shared>) {
    let mut pumps: Vec<JoinHandle<()>> = Vec::new();
    while !shared.stop.load(Ordering::SeqCst) {
        let generation = shared.generation.load(Ordering::SeqCst);
        match listener.accept() {
            Ok((standby, _)) => {
                // Where the owner is down, the standby's connection ends here, as it would without a relay.
                if let Ok(owner) = TcpStream::connect(owner) {
                    pumps.extend(pump_both(&standby, &owner, shared, generation));
                }
            }
            Err(_) => thread::sleep(LOOK_EVERY),
        }
        pumps.retain(|pump| !pump.is_finished());
    }
    pumps.into_iter().for_each(|pump| drop(pump.join()));
}

fn pump_both(standby: &TcpStream, owner: &TcpStream, shared: &Arc<Shared>, generation: u64) -> Vec<JoinHandle<()>> {
    let start = |from: &TcpStream, to: &TcpStream, is_limited: bool| {
        let (from, to) = (from.try_clone().ok()?, to.try_clone().ok()?);
        from.set_read_timeout(Some(LOOK_EVERY)).ok()?;
        to.set_nodelay(true).ok()?;
        to.set_write_timeout(Some(LOOK_EVERY)).ok()?;
        from.set_nonblocking(false).ok()?;
        let shared = shared.clone();
        let run = move || pump(from, to, &shared, generation, is_limited);
        thread::Builder::new().name("demo-relay-pump".to_owned()).spawn(run).ok()
    };
    [start(standby, owner, false), start(owner, standby, true)].into_iter().flatten().collect()
}

/// Passes bytes on until either end closes or the connection is dropped; then closes both.
fn pump(mut from: TcpStream, mut to: TcpStream, shared: &Shared, generation: u64, is_limited: bool) {
    let mut piece = vec![0; PIECE_BYTES];
    let is_wanted = || shared.generation.load(Ordering::SeqCst) == generation;
    while is_wanted() {
        let allowance = if is_limited { shared.allowance.load(Ordering::SeqCst) } else { UNLIMITED };
        if allowance == 0 {
            thread::sleep(LOOK_EVERY);
            continue;
        }
        let most = usize::try_from(allowance).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        match from.read(&mut piece[..most]) {
            Ok(0) => break,
            Ok(count) => {
                if !write_all(&mut to, &piece[..count], is_wanted) {
                    break;
                }
                if is_limited && allowance != UNLIMITED {
                    let less = |left: u64| Some(left.saturating_sub(count as u64));
                    let _ = shared.allowance.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less); // it always gives something
                }
            }
            Err(error) if is_pause(&error) => {}
            Err(_) => break,
        }
    }
    if is_wanted() {
        // One end closed by itself: the other one learns it. A reset must not end in such a polite way.
        let _ = to.shutdown(std::net::Shutdown::Both);
        let _ = from.shutdown(std::net::Shutdown::Both);
    }
}

fn write_all(to: &mut TcpStream, mut bytes: &[u8], is_wanted: impl Fn() -> bool) -> bool {
    while !bytes.is_empty() && is_wanted() {
        match to.write(bytes) {
            Ok(0) => return false,
            Ok(count) => bytes = &bytes[count..],
            Err(error) if is_pause(&error) => {}
            Err(_) => return false,
        }
    }
    bytes.is_empty()
}

fn is_pause(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An owner that says a megabyte to whoever comes, and a relay in front of it.
    fn talkative() -> (Relay, SocketAddr) {
        let owner = TcpListener::bind("127.0.0.1:0").expect("a port");
        let behind = owner.local_addr().expect("bound");
        thread::spawn(move || {
            for stream in owner.incoming() {
                let mut stream = stream.expect("a connection");
                thread::spawn(move || {
                    let _ = stream.write_all(&vec![7; 1 << 20]); // the relay may drop it
                    let _ = stream.read(&mut [0]);
                });
            }
        });
        let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
        (Relay::start(free, behind).expect("the port is free"), free)
    }

    fn read_until_silence(stream: &mut TcpStream) -> usize {
        stream.set_read_timeout(Some(Duration::from_millis(300))).expect("a socket option");
        let mut bytes = vec![0; 1 << 20];
        let mut total = 0;
        loop {
            match stream.read(&mut bytes) {
                Ok(0) | Err(_) => return total,
                Ok(count) => total += count,
            }
        }
    }

    #[test]
    fn what_is_allowed_passes_and_no_byte_more() {
        let (relay, address) = talkative();
        relay.allow(100_001);
        let mut standby = TcpStream::connect(address).expect("the relay listens");
        assert_eq!(read_until_silence(&mut standby), 100_001);
        assert!(relay.is_used_up());
        relay.open();
        assert_eq!(read_until_silence(&mut standby), (1 << 20) - 100_001);
        assert!(!relay.is_used_up());
    }

    #[test]
    fn a_reset_drops_what_is_connected_and_nothing_else() {
        let (relay, address) = talkative();
        relay.allow(1000);
        let mut standby = TcpStream::connect(address).expect("the relay listens");
        assert_eq!(read_until_silence(&mut standby), 1000);
        relay.reset();
        standby.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket option");
        let end = standby.read(&mut [0]);
        assert!(matches!(end, Ok(0)) || end.is_err_and(|error| !is_pause(&error)), "the connection is gone");
        relay.open();
        assert_eq!(read_until_silence(&mut TcpStream::connect(address).expect("it goes on listening")), 1 << 20);
    }
}
