//! A steady load on a cluster, by several clients at once: how long each request waited, and whether any acknowledged write was lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::client::{ClusterClient, Failed, slot_of};
use super::connection::Answer;
use crate::resp::{Random, key_of};

/// Errors whose text is kept.
const ERRORS_KEPT: usize = 5;
/// A value begins with the number of the write that made it.
const STAMP_BYTES: usize = 8;

/// What a load does.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Ports of the cluster's nodes.
    pub(crate) ports: Vec<u16>,
    /// Keys that are used: 0 until this.
    pub(crate) keys: std::ops::Range<u64>,
    pub(crate) value_bytes: usize,
    /// Requests a second of all clients; 0: as fast as answers come.
    pub(crate) rate: u64,
    pub(crate) clients: u64,
    /// Every so many-th request is a write.
    pub(crate) write_every: u64,
}

/// One request as its client saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// When it was sent, behind the load's start.
    pub(crate) sent: Duration,
    /// How long its answer took, redirects and retries included.
    pub(crate) wait: Duration,
    pub(crate) slot: u16,
    pub(crate) is_write: bool,
}

/// What a load has seen.
#[derive(Default, Debug)]
pub(crate) struct Seen {
    pub(crate) requests: Vec<Request>,
    pub(crate) errors: u64,
    pub(crate) error_texts: Vec<String>,
    pub(crate) redirects: u64,
    pub(crate) retries: u64,
    /// Reads that answered with something older than what was acknowledged, and keys that hold that at the end.
    pub(crate) lost: u64,
}

/// A load under way.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    pub(crate) start: Instant,
    threads: Vec<JoinHandle<Seen>>,
}

impl Load {
    pub(crate) fn start(plan: &Plan) -> Self {
        let (stop, start) = (Arc::new(AtomicBool::new(false)), Instant::now());
        let client = |number| {
            let (plan, stop) = (plan.clone(), stop.clone());
            std::thread::spawn(move || Client::new(plan, number).run(start, &stop))
        };
        Self { start, threads: (0..plan.clients).map(client).collect(), stop }
    }

    /// Stops the clients, and has each read what it wrote.
    pub(crate) fn end(self) -> Result<Seen, String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for thread in self.threads {
            let seen = thread.join().map_err(|_| "a client of the load panicked".to_owned())?;
            all.requests.extend(seen.requests);
            all.error_texts.extend(seen.error_texts);
            all.errors += seen.errors;
            all.redirects += seen.redirects;
            all.retries += seen.retries;
            all.lost += seen.lost;
        }
        all.error_texts.truncate(ERRORS_KEPT);
        Ok(all)
    }
}

/// What is known of one key: the newest write that was acknowledged, and the newest that was sent.
#[derive(Clone, Copy, Default)]
struct Written {
    acknowledged: u64,
    sent: u64,
}

struct Client {
    plan: Plan,
    number: u64,
    client: ClusterClient,
    random: Random,
    /// This client's own keys: every `clients`-th. Nobody else writes them, so what they must hold is known.
    written: Vec<Written>,
    writes: u64,
    seen: Seen,
}

impl Client {
    fn new(plan: Plan, number: u64) -> Self {
        let own = usize::try_from((plan.keys.end - plan.keys.start) / plan.clients).expect("keys fit in memory");
        let client = ClusterClient::new(&plan.ports);
        Self { number, client, random: Random(number), written: vec![Written::default(); own], writes: 0, seen: Seen::default(), plan }
    }

    fn run(mut self, start: Instant, stop: &AtomicBool) -> Seen {
        let mut count = 0u64;
        while !stop.load(Ordering::Relaxed) {
            if let Some(each) = (self.plan.clients * 1_000_000_000).checked_div(self.plan.rate) {
                let due = start + Duration::from_nanos(count * each + self.number * each / self.plan.clients);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            let place = usize::try_from(self.random.next() % self.written.len() as u64).expect("an index");
            let (sent, is_write) = (start.elapsed(), count.is_multiple_of(self.plan.write_every));
            let result = if is_write { self.write(place) } else { self.read(place) };
            let slot = slot_of(self.key(place).as_bytes());
            self.seen.requests.push(Request { sent, wait: start.elapsed() - sent, slot, is_write });
            self.note(result);
            count += 1;
        }
        for place in 0..self.written.len() {
            if self.written[place].sent > 0 {
                let result = self.read(place);
                self.note(result);
            }
        }
        (self.seen.redirects, self.seen.retries) = (self.client.redirects, self.client.retries);
        self.seen
    }

    fn note(&mut self, result: Result<(), Failed>) {
        if let Err(Failed(text)) = result {
            self.seen.errors += 1;
            if self.seen.error_texts.len() < ERRORS_KEPT {
                self.seen.error_texts.push(text);
            }
        }
    }

    fn key(&self, place: usize) -> String {
        key_of(self.plan.keys.start + place as u64 * self.plan.clients + self.number)
    }

    fn write(&mut self, place: usize) -> Result<(), Failed> {
        let key = self.key(place);
        self.writes += 1;
        let mut value = vec![0; self.plan.value_bytes.max(STAMP_BYTES)];
        self.random.fill(&mut value);
        value[..STAMP_BYTES].copy_from_slice(&self.writes.to_be_bytes());
        self.written[place].sent = self.writes;
        self.client.ask(key.as_bytes(), &[b"SET", key.as_bytes(), &value])?;
        self.written[place].acknowledged = self.writes;
        Ok(())
    }

    /// A value that is older than what was acknowledged, or none, is a lost write; one that was sent and never answered is none.
    fn read(&mut self, place: usize) -> Result<(), Failed> {
        let key = self.key(place);
        let answer = self.client.ask(key.as_bytes(), &[b"GET", key.as_bytes()])?;
        let known = self.written[place];
        if known.sent == 0 {
            return Ok(());
        }
        let found = match answer {
            Answer::Value(Some(value)) => {
                value.get(..STAMP_BYTES).map_or(0, |stamp| u64::from_be_bytes(stamp.try_into().expect("eight bytes")))
            }
            _ => 0,
        };
        let is_lost = known.acknowledged > 0 && !(known.acknowledged..=known.sent).contains(&found);
        self.seen.lost += u64::from(is_lost);
        Ok(())
    }
}
