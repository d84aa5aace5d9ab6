//! Large values over a socket: taken and sent in pieces, over the store and over a map in memory alike.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use limosa_core::SpaceKeys;
use limosa_store::{Durability, Identity, Store};

use super::super::{Options, ServerHandle, serve};
use super::client::{Client, TestNode, door, encode};

const LARGE: usize = 3_000_000;

/// Text that is not the same anywhere twice, so that an error of place shows.
fn text(seed: u64, bytes: usize) -> Vec<u8> {
    (0..bytes.div_ceil(8)).flat_map(|i| format!("{seed:02}{:06}", i % 1_000_000).into_bytes()).take(bytes).collect()
}

fn bulk(bytes: &[u8]) -> String {
    format!("${}\r\n{}\r\n", bytes.len(), String::from_utf8_lossy(bytes))
}

struct StoreDoor {
    store: Store,
    address: SocketAddr,
    _handle: ServerHandle,
    _folder: tempfile::TempDir,
}

fn store_door() -> StoreDoor {
    let folder = tempfile::tempdir().expect("a folder");
    let identity = Identity { cluster: [7; 16], node: "a".into() };
    let mut options = limosa_store::Options::new(folder.path(), identity, SpaceKeys::derive(&[9; 32], "default"));
    options.durability = Durability::Interval;
    let store = Store::open(options).expect("an empty folder");
    store.open_epoch(0).expect("the disk works");
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    let node = Arc::new(TestNode::default());
    let handle = serve(listener, Arc::new(store.clone()), node, Options::default()).expect("the front door opens");
    StoreDoor { store, address, _handle: handle, _folder: folder }
}

/// Every command that takes or gives a large value, with what comes before and behind it in one go.
fn converse(client: &mut Client) {
    let (a, b) = (text(1, LARGE), text(2, LARGE + 1));
    let mut bytes = encode(&[b"PING"]);
    for args in [&[&b"SET"[..], b"k", &a][..], &[b"GET", b"k"], &[b"SET", b"k", &b, b"XX", b"GET"], &[b"STRLEN", b"k"]] {
        bytes.extend(encode(args));
    }
    client.send(&bytes);
    assert_eq!([client.reply(), client.reply()], ["+PONG\r\n", "+OK\r\n"]);
    assert!(client.reply() == bulk(&a), "GET");
    assert!(client.reply() == bulk(&a), "SET XX GET answers with the old value");
    assert_eq!(client.reply(), format!(":{}\r\n", LARGE + 1));

    assert_eq!(client.call_args(&[b"SET", b"k", &a, b"NX"]), "$-1\r\n");
    assert_eq!(client.call_args(&[b"SET", b"k", &a, b"NONSENSE"]), "-ERR syntax error\r\n");
    assert!(client.call("GET k") == bulk(&b), "neither was set");
    assert_eq!(client.call_args(&[b"SETEX", b"k", b"1000", &a]), "+OK\r\n");
    assert_eq!(client.call("PERSIST k"), ":1\r\n");
    assert!(client.call_args(&[b"GETSET", b"k", &b]) == bulk(&a));
    assert_eq!(client.call_args(&[b"SETNX", b"n", &a]), ":1\r\n");
    assert_eq!(client.call_args(&[b"MSET", b"x", &a, b"y", b"small", b"z", &b]), "+OK\r\n");
    let all = format!("*4\r\n{}{}$-1\r\n{}", bulk(&a), bulk(b"small"), bulk(&b));
    assert!(client.call("MGET x y nothing z") == all);

    let mut joined = b.clone();
    joined.extend_from_slice(&a);
    assert_eq!(client.call_args(&[b"APPEND", b"z", &a]), format!(":{}\r\n", joined.len()));
    joined.extend_from_slice(b"end");
    assert_eq!(client.call("APPEND z end"), format!(":{}\r\n", joined.len()));
    joined[1_000_000..1_000_000 + b.len()].copy_from_slice(&b);
    assert_eq!(client.call_args(&[b"SETRANGE", b"z", b"1000000", &b]), format!(":{}\r\n", joined.len()));
    joined[7..12].copy_from_slice(b"small");
    assert_eq!(client.call("SETRANGE z 7 small"), format!(":{}\r\n", joined.len()));
    assert!(client.call("GETRANGE z 5 -1") == bulk(&joined[5..]));
    assert!(client.call("GETRANGE z 2999990 3000010") == bulk(&joined[2_999_990..3_000_011]));
    joined.resize(20_000_000, 0);
    joined.extend_from_slice(b"far");
    assert_eq!(client.call("SETRANGE z 20000000 far"), ":20000003\r\n");
    assert!(client.call("GETDEL z") == bulk(&joined));
    assert_eq!(client.call("EXISTS z"), ":0\r\n");

    assert_eq!(client.call("INCR x"), "-ERR value is not an integer or out of range\r\n");
    assert_eq!(client.call("INCRBYFLOAT x 1"), "-ERR value is not a valid float\r\n");
    let too_long = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n";
    assert_eq!(client.call("SETRANGE x 536870910 far"), too_long);
    assert_eq!(client.call("SETRANGE new 536870910 far"), too_long);
    assert_eq!(client.call_args(&[b"SETRANGE", b"x", b"536870000", &a]), too_long);
    assert!(client.call("GET x") == bulk(&a), "untouched by what was refused");
}

#[test]
fn every_command_takes_and_gives_large_values_over_memory() {
    let door = door();
    converse(&mut door.client());
    assert!(door.memory.arriving().is_empty(), "what was taken in was closed");
}

#[test]
fn every_command_takes_and_gives_large_values_over_the_store() {
    let door = store_door();
    let mut client = Client::connect(door.address).expect("the front door listens");
    converse(&mut client);
    assert_eq!(client.call("FLUSHALL"), "+OK\r\n");
    door.store.flush().expect("the disk works");
    assert_eq!(door.store.stats().live, 0, "no part of anything is left");
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_value_leaves_nothing() {
    let door = store_door();
    let mut client = Client::connect(door.address).expect("the front door listens");
    let request = encode(&[b"SET", b"k", &text(1, LARGE)]);
    client.send(&request[..2_000_000]);
    let until = |wanted: fn(u64) -> bool| {
        let started = Instant::now();
        while !wanted(door.store.stats().live) {
            assert!(started.elapsed() < Duration::from_secs(10), "{} entries are live", door.store.stats().live);
            door.store.flush().expect("the disk works");
            std::thread::yield_now();
        }
    };
    until(|live| live > 100);
    let mut other = Client::connect(door.address).expect("the front door listens");
    assert_eq!(other.call("DBSIZE"), ":0\r\n");
    drop(client);
    until(|live| live == 0);
}

#[test]
fn a_large_value_that_is_refused_is_read_to_its_end_and_the_connection_lives_on() {
    let door = door();
    let mut client = door.client();
    let value = text(1, LARGE);
    door.node.is_owner.store(false, Ordering::SeqCst);
    assert_eq!(client.call_args(&[b"SET", b"k", &value]), "-READONLY You can't write against a read only replica.\r\n");
    door.node.is_owner.store(true, Ordering::SeqCst);
    let long_key = vec![b'k'; (64 << 10) + 1];
    assert_eq!(client.call_args(&[b"SET", &long_key, &value]), "-ERR key exceeds maximum allowed size (65536 bytes)\r\n");
    assert_eq!(client.call("DBSIZE"), ":0\r\n");
    assert!(door.memory.arriving().is_empty());
}

#[test]
fn others_are_answered_while_a_large_value_stands_still() {
    let door = store_door();
    let mut slow = Client::connect(door.address).expect("the front door listens");
    let value = text(1, LARGE);
    let request = encode(&[b"SET", b"k", &value]);
    slow.send(&request[..1_500_000]);
    let mut other = Client::connect(door.address).expect("the front door listens");
    for turn in 0..50 {
        assert_eq!(other.call(&format!("SET k {turn}")), "+OK\r\n");
        assert_eq!(other.call("STRLEN k"), format!(":{}\r\n", turn.to_string().len()));
    }
    assert_eq!(other.call("FLUSHALL"), "+OK\r\n");
    slow.send(&request[1_500_000..]);
    assert_eq!(slow.reply(), "+OK\r\n");
    assert!(other.call("GET k") == bulk(&value));
}
