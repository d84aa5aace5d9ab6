//! Each fault of the proxy does what its name says, to the connections that it is meant for.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::*;

/// A proxy before a listener of ours, and one connection through it: (what the client holds, what the server holds).
fn connection(dialers: Dialers) -> (Proxy, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let proxy = Proxy::start(listener.local_addr().expect("bound").port(), dialers).expect("starts");
    let client = TcpStream::connect(("127.0.0.1", proxy.port())).expect("it listens");
    let (server, _) = listener.accept().expect("it was passed on");
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
    }
    (proxy, client, server)
}

fn plain() -> (Proxy, TcpStream, TcpStream) {
    connection(Dialers::default())
}

fn read(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).expect("they come");
    bytes
}

fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes); // a reset is an end, too
    bytes
}

#[test]
fn without_a_rule_bytes_pass_both_ways() {
    let (proxy, mut client, mut server) = plain();
    client.write_all(b"there").expect("open");
    assert_eq!(read(&mut server, 5), b"there");
    server.write_all(b"back").expect("open");
    assert_eq!(read(&mut client, 4), b"back");
    assert_eq!(proxy.hits(), [0; Fault::KINDS]);
}

#[test]
fn what_is_held_comes_when_it_is_over_and_the_other_direction_goes_on() {
    let (proxy, mut client, mut server) = plain();
    proxy.inject(Fault::Hold, Direction::Towards, None);
    client.write_all(b"held").expect("open");
    server.write_all(b"back").expect("open");
    assert_eq!(read(&mut client, 4), b"back");
    server.set_nonblocking(true).expect("a socket");
    assert!(server.read(&mut [0; 4]).is_err(), "nothing has come");
    server.set_nonblocking(false).expect("a socket");
    proxy.clear();
    assert_eq!(read(&mut server, 4), b"held");
}

#[test]
fn what_is_dropped_never_comes_and_its_connection_ends() {
    let (proxy, mut client, mut server) = plain();
    proxy.inject(Fault::Drop, Direction::Towards, None);
    client.write_all(b"lost").expect("open");
    while proxy.hits()[Fault::Drop.kind()] == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    proxy.clear();
    assert_eq!(rest(&mut server), b"");
}

#[test]
fn damage_happens_once_and_as_its_name_says() {
    for (fault, expected) in [(Fault::Duplicate, &b"ababab"[..]), (Fault::Truncate, b"a"), (Fault::Flip, b"arab"), (Fault::Reset, b"")] {
        let (proxy, mut client, mut server) = plain();
        proxy.inject(fault, Direction::Towards, None);
        client.write_all(b"ab").expect("open");
        let first = if fault.is_once() && matches!(fault, Fault::Duplicate) { 4 } else { expected.len().min(2) };
        let mut bytes = read(&mut server, first);
        let _ = client.write_all(b"ab"); // the connection may be over
        let _ = client.shutdown(std::net::Shutdown::Write);
        bytes.extend(rest(&mut server));
        assert_eq!(bytes, expected, "{fault:?}");
        assert_eq!(proxy.hits()[fault.kind()], 1);
    }
}

#[test]
fn slow_bytes_are_the_same_bytes() {
    for fault in [Fault::Delay(Duration::from_millis(5)), Fault::Dribble] {
        let (proxy, mut client, mut server) = plain();
        proxy.inject(fault, Direction::Both, None);
        let bytes: Vec<u8> = (0..2_000u32).map(|at| at.to_le_bytes()[0]).collect();
        client.write_all(&bytes).expect("open");
        assert_eq!(read(&mut server, bytes.len()), bytes, "{fault:?}");
    }
}

#[test]
fn a_fault_between_two_nodes_leaves_others_alone() {
    let dialers = Dialers::default();
    dialers.know(std::process::id(), "n1");
    let (proxy, mut client, mut server) = connection(dialers);
    proxy.inject(Fault::Reset, Direction::Both, Some("n2"));
    client.write_all(b"fine").expect("open");
    assert_eq!(read(&mut server, 4), b"fine");
    proxy.inject(Fault::Reset, Direction::Both, Some("n1"));
    client.write_all(b"over").expect("open");
    assert_eq!(rest(&mut server), b"");
}
