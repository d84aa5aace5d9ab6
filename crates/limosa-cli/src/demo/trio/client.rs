//! A client of the cluster as a client library is one: it goes where MOVED says, and tries again where a connection breaks.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use limosa_core::slot::{SLOTS, slot_of};

use crate::demo::error::DemoError;
use crate::demo::resp::{Reply, Resp};

/// Before a request is tried again that nobody could take.
const AGAIN: Duration = Duration::from_millis(10);
/// For somebody to take it.
const TAKEN_MAX: Duration = Duration::from_secs(60);

/// A node, as its client knows it.
pub(super) type Door = (&'static str, SocketAddr);

/// One client: one request at a time.
pub(super) struct ClusterClient {
    doors: Vec<Door>,
    connections: HashMap<usize, Resp>,
    /// Where each slot was served last: an index of the doors.
    routes: Vec<u8>,
    /// Answers that reached the application: neither a value nor something that client libraries try again by themselves.
    pub(super) errors: u64,
}

/// What a client library does about a refusal.
enum About {
    Go(usize),
    Again,
    Tell,
}

impl ClusterClient {
    pub(super) fn new(doors: Vec<Door>) -> Self {
        Self { doors, connections: HashMap::new(), routes: vec![0; usize::from(SLOTS)], errors: 0 }
    }

    /// One command on `key`, until it is answered; `take` gets the answer. What is unknown is asked again: the demo's writes may be repeated.
    pub(super) fn call<T>(&mut self, key: &[u8], args: &[&[u8]], take: impl Fn(Reply<'_>) -> T) -> Result<T, DemoError> {
        let (slot, began) = (usize::from(slot_of(key)), Instant::now());
        loop {
            let at = usize::from(self.routes[slot]);
            let refusal = match self.ask(at, args, &take) {
                Ok(answer) => return Ok(answer),
                Err(error) if began.elapsed() > TAKEN_MAX => return Err(error),
                Err(DemoError::Refused { message, .. }) => self.about(&message),
                Err(DemoError::Broken { .. }) => {
                    self.connections.remove(&at);
                    thread::sleep(AGAIN);
                    About::Go((at + 1) % self.doors.len())
                }
                Err(error) => return Err(error),
            };
            match refusal {
                About::Go(to) => self.routes[slot] = u8::try_from(to).expect("three doors"),
                About::Again => thread::sleep(AGAIN),
                About::Tell => {
                    self.errors += 1;
                    thread::sleep(AGAIN);
                }
            }
        }
    }

    fn ask<T>(&mut self, at: usize, args: &[&[u8]], take: &impl Fn(Reply<'_>) -> T) -> Result<T, DemoError> {
        let (name, address) = self.doors[at];
        let resp = match self.connections.entry(at) {
            std::collections::hash_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => place.insert(Resp::connect(name, address)?),
        };
        resp.call(args).map(take)
    }

    fn about(&self, message: &str) -> About {
        let mut words = message.split(' ');
        match words.next() {
            Some("MOVED") => {
                let address = words.nth(1).and_then(|address| address.parse().ok());
                let door = self.doors.iter().position(|(_, known)| Some(*known) == address);
                door.map_or(About::Tell, About::Go)
            }
            Some("CLUSTERDOWN" | "TRYAGAIN") => About::Again,
            _ => About::Tell,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// Somebody who answers each request on his one connection with the next of `answers`, then hangs up.
    fn node(name: &'static str, answers: &'static [&'static str]) -> Door {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("the client");
            for answer in answers {
                let mut request = [0; 256];
                if stream.read(&mut request).is_err() {
                    return;
                }
                stream.write_all(answer.replace("SELF", &address.to_string()).as_bytes()).expect("the client reads");
            }
        });
        (name, address)
    }

    #[test]
    fn a_request_goes_where_it_is_sent_and_only_what_no_library_hides_counts_as_an_error() {
        let two = node("two", &["-CLUSTERDOWN wait\r\n", "-NOACK unknown\r\n", "+OK\r\n"]);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let one = ("one", listener.local_addr().expect("bound"));
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("the client");
            let mut request = [0; 256];
            let _ = stream.read(&mut request);
            stream.write_all(format!("-MOVED 7 {}\r\n", two.1).as_bytes()).expect("the client reads");
        });
        let mut client = ClusterClient::new(vec![one, two]);
        let is_ok = client.call(b"k", &[b"SET", b"k", b"v"], |reply| reply == Reply::Simple(b"OK"));
        assert!(is_ok.expect("an answer"));
        assert_eq!(client.errors, 1);
    }

    #[test]
    fn a_broken_connection_leads_to_another_node() {
        let mut client = ClusterClient::new(vec![node("gone", &[]), node("there", &["$1\r\nv\r\n"])]);
        let value = client.call(b"k", &[b"GET", b"k"], |reply| reply == Reply::Bulk(b"v"));
        assert_eq!((value.expect("an answer"), client.errors), (true, 0));
    }
}
