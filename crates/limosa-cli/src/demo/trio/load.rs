//! Clients that read and write all the time, each its own keys, and write down what was acknowledged to them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use limosa_core::slot::slot_of;

use super::client::{ClusterClient, Door};
use super::seen::{Op, Seen};
use crate::demo::error::DemoError;
use crate::demo::fact::Fact;
use crate::demo::model::{Key, Model};
use crate::demo::random::Random;
use crate::demo::resp::Reply;

/// How many, each with one request at a time.
pub(in crate::demo) const CLIENTS: usize = 8;
/// Between the beginnings of two requests of one client, at least: 2,000 a second of all of them, half of them writes.
const EVERY: Duration = Duration::from_millis(4);

/// Clients at work. Dropped, they stop behind their next answer.
pub(super) struct Load {
    began: Instant,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Result<Worked, DemoError>>>,
}

/// What one client did.
struct Worked {
    ops: Vec<Op>,
    /// The last value of each key that was acknowledged.
    written: HashMap<Key, Fact>,
    errors: u64,
    lost: u64,
}

impl Load {
    /// Starts them at `doors`, the first of which they ask first, on the keys of `model`.
    pub(super) fn start(doors: &[Door], model: &Model, value_bytes: usize, random: &mut Random) -> Result<Self, DemoError> {
        let mut shares: Vec<Vec<(Key, Fact)>> = vec![Vec::new(); CLIENTS];
        for (index, (key, fact)) in model.live().enumerate() {
            shares[index % CLIENTS].push((key.clone(), fact));
        }
        let (began, stop) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let client = |known: Vec<(Key, Fact)>| {
            let (random, stop, client) = (random.fork(), stop.clone(), ClusterClient::new(doors.to_vec()));
            let work = move || Work { known, random, value_bytes, client, began }.until(&stop);
            let thread = thread::Builder::new().name("demo-client".to_owned()).spawn(work);
            thread.map_err(|source| DemoError::NotStarted { what: "a client", source })
        };
        let clients = shares.into_iter().filter(|share| !share.is_empty()).map(client).collect::<Result<_, _>>()?;
        Ok(Self { began, stop, clients })
    }

    /// Since when they work: what the times of their requests count from.
    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// Stops them; `model` learns what they wrote.
    pub(super) fn finish(mut self, model: &mut Model) -> Result<Seen, DemoError> {
        self.stop.store(true, Ordering::Relaxed);
        let mut seen = Seen { took: self.began.elapsed(), ..Seen::default() };
        for client in self.clients.drain(..) {
            let worked = client.join().expect("a panic of a client is a broken invariant")?;
            worked.written.iter().for_each(|(key, fact)| model.put(key, *fact));
            seen.ops.extend(worked.ops);
            seen.errors += worked.errors;
            seen.lost += worked.lost;
        }
        Ok(seen)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed); // the demo is failing, or they have ended
    }
}

struct Work {
    known: Vec<(Key, Fact)>,
    random: Random,
    value_bytes: usize,
    client: ClusterClient,
    began: Instant,
}

impl Work {
    fn until(mut self, stop: &AtomicBool) -> Result<Worked, DemoError> {
        let mut worked = Worked { ops: Vec::new(), written: HashMap::new(), errors: 0, lost: 0 };
        let mut due = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            // One that was late is not made up for: what a client waited for is one request's time, once.
            due = (due + EVERY).max(Instant::now());
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let index = self.random.below(self.known.len());
            let op = if self.random.one_in(2) { self.write(index, &mut worked)? } else { self.read(index, &mut worked)? };
            worked.ops.push(op);
        }
        worked.errors = self.client.errors;
        Ok(worked)
    }

    fn write(&mut self, index: usize, worked: &mut Worked) -> Result<Op, DemoError> {
        let mut value = vec![0; self.value_bytes];
        self.random.fill(&mut value);
        let (key, known) = &mut self.known[index];
        let sent = Instant::now();
        let is_ok = self.client.call(key, &[b"SET", key, &value], |reply| reply == Reply::Simple(b"OK"))?;
        if !is_ok {
            return Err(DemoError::Refused { node: "cluster", message: "something else than OK to a SET".to_owned() });
        }
        *known = Fact::of(&value, 0);
        worked.written.insert(key.clone(), *known);
        Ok(self.op(sent, index, (self.known[index].0.len() + value.len()) as u64))
    }

    /// Nobody else writes this client's keys: what it reads is what was acknowledged to it last.
    fn read(&mut self, index: usize, worked: &mut Worked) -> Result<Op, DemoError> {
        let (key, known) = &self.known[index];
        let (known, sent) = (*known, Instant::now());
        let is_known = self.client.call(key, &[b"GET", key], |reply| matches!(reply, Reply::Bulk(value) if known.has(value)))?;
        worked.lost += u64::from(!is_known);
        Ok(self.op(sent, index, 0))
    }

    fn op(&self, sent: Instant, index: usize, written_bytes: u64) -> Op {
        Op { answered: self.began.elapsed(), took: sent.elapsed(), slot: slot_of(&self.known[index].0), written_bytes }
    }
}
