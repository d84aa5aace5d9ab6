//! A proxy before a port that does to connections what networks do, below TLS: slowness, silence, loss, damage, ends.
//!
//! It knows which node dialled by the process that has the other end of the connection, so that a fault can be between two nodes only.

mod dialers;
mod fault;
mod pump;

use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) use dialers::Dialers;
pub(crate) use fault::{Direction, Fault};

/// How long a thread sleeps at most before it looks at the rules again.
const LOOK: Duration = Duration::from_millis(20);

/// One fault in force.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    number: u64,
    fault: Fault,
    direction: Direction,
    /// Only connections that this node dialled.
    dialer: Option<String>,
}

/// What all threads of a proxy share.
#[derive(Default)]
pub(super) struct Rules {
    in_force: Mutex<(Vec<Rule>, u64)>,
    changed: Condvar,
    hits: Mutex<[u64; Fault::KINDS]>,
}

/// A running proxy. Its threads end with the process.
pub(crate) struct Proxy {
    port: u16,
    rules: Arc<Rules>,
}

impl Proxy {
    /// Listens on a free loopback port and passes on to `port`.
    pub(crate) fn start(to: u16, dialers: Dialers) -> Result<Self, String> {
        let describe = |error: std::io::Error| format!("a proxy: {error}");
        let listener = TcpListener::bind("127.0.0.1:0").map_err(describe)?;
        let port = listener.local_addr().map_err(describe)?.port();
        let rules = Arc::new(Rules::default());
        let shared = rules.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (rules, dialers) = (shared.clone(), dialers.clone());
                std::thread::spawn(move || pass(client, to, &dialers, &rules));
            }
        });
        Ok(Self { port, rules })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Puts a fault into force, on connections that `dialer` made, or on all, and tells its number. One that happens once is gone when it has
    /// happened.
    pub(crate) fn inject(&self, fault: Fault, direction: Direction, dialer: Option<&str>) -> u64 {
        let mut in_force = self.rules.lock();
        in_force.1 += 1;
        let number = in_force.1;
        in_force.0.push(Rule { number, fault, direction, dialer: dialer.map(str::to_owned) });
        drop(in_force);
        self.rules.changed.notify_all();
        number
    }

    /// One fault is over.
    pub(crate) fn lift(&self, number: u64) {
        self.rules.lock().0.retain(|rule| rule.number != number);
        self.rules.changed.notify_all();
    }

    /// Calm.
    pub(crate) fn clear(&self) {
        self.rules.lock().0.clear();
        self.rules.changed.notify_all();
    }

    /// How often each kind of fault was done to bytes that passed, by [`Fault::kind`].
    pub(crate) fn hits(&self) -> [u64; Fault::KINDS] {
        *self.rules.hits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rules {
    fn lock(&self) -> MutexGuard<'_, (Vec<Rule>, u64)> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be done to bytes of this direction. One that happens once is taken.
    pub(super) fn take(&self, direction: Direction, dialer: Option<&str>) -> Option<Rule> {
        let mut in_force = self.lock();
        let is_meant = |rule: &Rule| rule.direction.has(direction) && (rule.dialer.is_none() || rule.dialer.as_deref() == dialer);
        let at = in_force.0.iter().position(is_meant)?;
        let rule = in_force.0[at].clone();
        if rule.fault.is_once() {
            in_force.0.remove(at);
        }
        drop(in_force);
        self.hits.lock().unwrap_or_else(PoisonError::into_inner)[rule.fault.kind()] += 1;
        Some(rule)
    }

    pub(super) fn is_in_force(&self, rule: &Rule) -> bool {
        self.lock().0.iter().any(|other| other.number == rule.number)
    }

    /// Waits while `rule` is in force, and `goes_on`.
    pub(super) fn wait_out(&self, rule: &Rule, goes_on: impl Fn() -> bool) {
        let mut in_force = self.lock();
        while goes_on() && in_force.0.iter().any(|other| other.number == rule.number) {
            in_force = self.changed.wait_timeout(in_force, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// One connection, until it ends.
fn pass(client: TcpStream, to: u16, dialers: &Dialers, rules: &Arc<Rules>) {
    let dialer = client.peer_addr().ok().and_then(|from| dialers.of(from.port()));
    let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { return };
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true); // it only makes things slower
    }
    let (Ok(client_again), Ok(server_again)) = (client.try_clone(), server.try_clone()) else { return };
    let towards = pump::Pump { from: client, to: server, direction: Direction::Towards, dialer: dialer.clone(), rules: rules.clone() };
    let back = pump::Pump { from: server_again, to: client_again, direction: Direction::Back, dialer, rules: rules.clone() };
    std::thread::spawn(move || back.run());
    towards.run();
}

#[cfg(test)]
mod tests;
