//! Real clients that record what they ask and what they are told.
//!
//! Every request goes as three commands in one piece: `RESET`, the request, `LIMOSA.TOKEN`. The token then names the one version that the answer
//! was about. Nothing whose outcome is unknown is sent again: its value would be written twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::operation::{Operation, Seen, What};
use crate::cluster::client::{SLOTS, slot_of};
use crate::cluster::connection::{Answer, Connection, Reply};
use crate::resp::{Random, put_command};

/// Clients that share keys: the linearizability checker is for so many.
pub(crate) const CLIENTS_A_KEY: u64 = 8;
/// How long a client waits for an answer before the outcome is unknown.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// How long a refused request is sent again.
const GIVE_UP: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(5);
/// A value begins with its number.
const STAMP_BYTES: usize = 8;
/// Texts of errors that are kept.
const ERRORS_KEPT: usize = 5;

/// What the clients of a recording do.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    pub(crate) ports: Vec<u16>,
    pub(crate) clients: u64,
    /// Keys that each group of clients shares.
    pub(crate) keys_a_group: u32,
    pub(crate) value_bytes: usize,
    /// Between two requests of a client.
    pub(crate) pause: Duration,
    /// Every so many-th request is a copy's to answer (READONLY); 0: none.
    pub(crate) copy_every: u64,
}

impl Workload {
    /// Keys 0 until this are used.
    pub(crate) fn keys(&self) -> u32 {
        u32::try_from(self.clients.div_ceil(CLIENTS_A_KEY)).expect("few clients") * self.keys_a_group
    }
}

/// What was recorded.
#[derive(Default, Debug)]
pub(crate) struct Recorded {
    pub(crate) history: Vec<Operation>,
    /// Refused before anything was done, and sent again.
    pub(crate) refused: u64,
    /// Requests that were refused for too long, and given up.
    pub(crate) given_up: u64,
    /// Requests by the first word of an error that leaves the outcome open.
    pub(crate) open: BTreeMap<String, u64>,
    pub(crate) error_texts: Vec<String>,
}

impl Recorded {
    pub(super) fn add(&mut self, other: Self) {
        self.history.extend(other.history);
        self.refused += other.refused;
        self.given_up += other.given_up;
        other.open.into_iter().for_each(|(word, count)| *self.open.entry(word).or_default() += count);
        self.error_texts.extend(other.error_texts);
        self.error_texts.sort_unstable();
        self.error_texts.dedup();
        self.error_texts.truncate(ERRORS_KEPT);
    }

    fn note_open(&mut self, text: &str) {
        let word = text.split(' ').next().unwrap_or_default().trim_start_matches('-');
        let word = if text.starts_with('-') { word } else { "connection" };
        *self.open.entry(word.to_owned()).or_default() += 1;
        if text.starts_with('-') && word != "NOACK" && self.error_texts.len() < ERRORS_KEPT {
            self.error_texts.push(text.to_owned());
        }
    }
}

/// Clients at work.
pub(crate) struct Recording {
    stop: Arc<AtomicBool>,
    /// When the history's clock stood at zero.
    pub(crate) start: Instant,
    threads: Vec<JoinHandle<Recorded>>,
    workload: Workload,
}

impl Recording {
    pub(crate) fn start(workload: &Workload) -> Self {
        let (stop, start) = (Arc::new(AtomicBool::new(false)), Instant::now());
        let client = |number| {
            let (workload, stop) = (workload.clone(), stop.clone());
            std::thread::spawn(move || Client::new(workload, number, start).run(&stop))
        };
        Self { threads: (0..workload.clients).map(client).collect(), stop, start, workload: workload.clone() }
    }

    /// Ends the clients.
    pub(crate) fn end(self) -> Result<Recorded, String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Recorded::default();
        for thread in self.threads {
            all.add(thread.join().map_err(|_| "a client panicked".to_owned())?);
        }
        Ok(all)
    }

    pub(crate) fn workload(&self) -> &Workload {
        &self.workload
    }
}

/// Reads every key once more, each until it is answered, all of them within `patience`, and adds that to `recorded`.
pub(crate) fn read_all(workload: &Workload, start: Instant, patience: Duration, recorded: &mut Recorded) -> Result<(), String> {
    let (mut client, since) = (Client::new(workload.clone(), workload.clients, start), Instant::now());
    for key in 0..workload.keys() {
        while !client.operate(key, false, &AtomicBool::new(false)) {
            if since.elapsed() > patience {
                let (slot, errors) = (slot_of(key_text(key).as_bytes()), (&client.recorded.open, &client.recorded.error_texts));
                return Err(format!("key {key} (slot {slot}) is not answered within {} s: {errors:?}", patience.as_secs()));
            }
            std::thread::sleep(PAUSE);
        }
    }
    recorded.history.extend(client.recorded.history);
    Ok(())
}

/// The text of a key.
pub(super) fn key_text(key: u32) -> String {
    format!("history:{key}")
}

/// A value with this number.
pub(super) fn value_of(number: u64, bytes: usize) -> Vec<u8> {
    let mut value = vec![b'.'; bytes.max(STAMP_BYTES)];
    value[..STAMP_BYTES].copy_from_slice(&number.to_be_bytes());
    value
}

/// The number of a value. What is too short is nobody's: a number that no client gives.
pub(super) fn number_of(value: &[u8]) -> u64 {
    value.get(..STAMP_BYTES).map_or(u64::MAX, |stamp| u64::from_be_bytes(stamp.try_into().expect("eight bytes")))
}

/// The version in the answer of LIMOSA.TOKEN behind RESET and one request.
pub(super) fn seen_of(token: &[u8]) -> Option<Seen> {
    let mut numbers = std::str::from_utf8(token).ok()?.strip_prefix("l1:")?.split('.');
    let mut next = || numbers.next()?.parse::<u64>().ok();
    let (fragment, epoch, seq) = (next()?, next()?, next()?);
    Some(Seen { fragment: fragment.try_into().ok()?, version: (epoch.try_into().ok()?, seq) })
}

/// RESET, READONLY if asked for, the request, LIMOSA.TOKEN.
pub(super) fn request(args: &[&[u8]], is_copys: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_command(&mut bytes, &[b"RESET"]);
    if is_copys {
        put_command(&mut bytes, &[b"READONLY"]);
    }
    put_command(&mut bytes, args);
    put_command(&mut bytes, &[b"LIMOSA.TOKEN"]);
    bytes
}

/// The replies to [`request`]: the one that was asked for, and which version it was about.
pub(super) fn replies(connection: &mut Connection, is_copys: bool) -> Result<(Reply, Option<Seen>), String> {
    connection.reply()?;
    if is_copys {
        connection.reply()?;
    }
    let reply = connection.reply()?;
    let seen = match connection.reply()? {
        Reply::Answer(Answer::Value(Some(token))) => seen_of(&token),
        other => return Err(format!("LIMOSA.TOKEN: {other:?}")),
    };
    Ok((reply, seen))
}

/// One thread's client.
struct Client {
    workload: Workload,
    number: u64,
    start: Instant,
    random: Random,
    writes: u64,
    slots: Vec<u16>,
    connections: BTreeMap<u16, Connection>,
    recorded: Recorded,
}

impl Client {
    fn new(workload: Workload, number: u64, start: Instant) -> Self {
        let slots = vec![workload.ports[0]; usize::from(SLOTS)];
        let (connections, recorded) = (BTreeMap::new(), Recorded::default());
        Self { workload, number, start, random: Random(number), writes: 0, slots, connections, recorded }
    }

    fn run(mut self, stop: &AtomicBool) -> Recorded {
        let group = u32::try_from(self.number / CLIENTS_A_KEY).expect("few clients") * self.workload.keys_a_group;
        let mut count = self.number;
        while !stop.load(Ordering::Relaxed) {
            count += 1;
            let key = group + u32::try_from(self.random.next() % u64::from(self.workload.keys_a_group)).expect("below");
            if self.workload.copy_every > 0 && count.is_multiple_of(self.workload.copy_every) {
                self.ask_a_copy(key);
            } else {
                let is_write = self.random.next().is_multiple_of(2);
                self.operate(key, is_write, stop);
            }
            std::thread::sleep(self.workload.pause);
        }
        self.recorded
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).expect("a history is shorter than 500 years")
    }

    /// One operation; whether it was answered. A refused one is sent again, wherever the cluster says.
    fn operate(&mut self, key: u32, is_write: bool, stop: &AtomicBool) -> bool {
        self.writes += u64::from(is_write);
        let (text, number) = (key_text(key), (self.number << 40) | self.writes);
        let value = value_of(number, self.workload.value_bytes);
        let set: [&[u8]; 3] = [b"SET", text.as_bytes(), &value];
        let bytes = if is_write { request(&set, false) } else { request(&[b"GET", text.as_bytes()], false) };
        let (slot, began) = (usize::from(slot_of(text.as_bytes())), Instant::now());
        let what = if is_write { What::Write(number) } else { What::Read(None) };
        let mut operation = Operation { key, what, invoked: self.now(), returned: None, seen: None, node: 0, may_be_old: false };
        loop {
            operation.node = self.slots[slot];
            let (reply, seen) = match self.once(operation.node, &bytes, false) {
                Ok(answered) => answered,
                Err(why) => {
                    self.connections.remove(&operation.node);
                    self.slots[slot] = self.another();
                    match why {
                        // Nothing was sent.
                        Broken::Before if began.elapsed() < GIVE_UP && !stop.load(Ordering::Relaxed) => {
                            std::thread::sleep(PAUSE);
                            continue;
                        }
                        Broken::Before => return false,
                        Broken::Behind(why) => return self.unknown(operation, &why),
                    }
                }
            };
            match reply {
                Reply::Answer(answer) => {
                    (operation.returned, operation.seen) = (Some(self.now()), seen);
                    if let (What::Read(found), Answer::Value(value)) = (&mut operation.what, &answer) {
                        *found = value.as_deref().map(number_of);
                    }
                    self.recorded.history.push(operation);
                    return true;
                }
                Reply::Moved(port, _) => self.slots[slot] = port,
                Reply::Later(_) => {}
                Reply::Error(error) => return self.unknown(operation, &error),
            }
            self.recorded.refused += 1;
            if began.elapsed() > GIVE_UP || stop.load(Ordering::Relaxed) {
                self.recorded.given_up += u64::from(began.elapsed() > GIVE_UP);
                return false;
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// A write may have happened; a read tells nothing.
    fn unknown(&mut self, operation: Operation, why: &str) -> bool {
        self.recorded.note_open(why);
        if matches!(operation.what, What::Write(_)) {
            self.recorded.history.push(operation);
        }
        false
    }

    /// A read at any node, which answers if it holds a copy that is fresh enough.
    fn ask_a_copy(&mut self, key: u32) {
        let (text, node) = (key_text(key), self.another());
        let invoked = self.now();
        match self.once(node, &request(&[b"GET", text.as_bytes()], true), true) {
            Ok((Reply::Answer(Answer::Value(value)), seen)) => {
                let what = What::Read(value.as_deref().map(number_of));
                let returned = Some(self.now());
                self.recorded.history.push(Operation { key, what, invoked, returned, seen, node, may_be_old: true });
            }
            Ok(_) => {} // redirected, or refused
            Err(_) => {
                self.connections.remove(&node);
            }
        }
    }

    fn another(&mut self) -> u16 {
        let place = self.random.next() % self.workload.ports.len() as u64;
        self.workload.ports[usize::try_from(place).expect("few ports")]
    }

    fn once(&mut self, port: u16, bytes: &[u8], is_copys: bool) -> Result<(Reply, Option<Seen>), Broken> {
        let connection = match self.connections.entry(port) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(Connection::open(port, ANSWER_MAX).map_err(|_| Broken::Before)?)
            }
        };
        connection.send(bytes).map_err(Broken::Behind)?;
        replies(connection, is_copys).map_err(Broken::Behind)
    }
}

/// A connection that failed.
enum Broken {
    /// Before anything was sent.
    Before,
    /// When the request may have arrived.
    Behind(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_behind_one_request_is_its_version_and_a_values_number_comes_back() {
        assert_eq!(seen_of(b"l1:7.3.128"), Some(Seen { fragment: 7, version: (3, 128) }));
        assert_eq!((seen_of(b"l1:"), seen_of(b"7.3.1")), (None, None));
        assert_eq!(number_of(&value_of(77, 20)), 77);
        assert_eq!(number_of(b"short"), u64::MAX, "no client gave it");
    }
}
