//! Tests of connections: who is let in, what is refused how, what is counted, and when silence ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use limosa_core::limits::MESSAGE_BYTES_MAX;
use limosa_wire::{Live, Message, Ready};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::timing::{HANDSHAKE_TIMEOUT, IDLE_TIMEOUT, PING_EVERY, WRITE_TIMEOUT};
use super::*;
use crate::error::PeerError;
use crate::pki::test_support::Authority;
use crate::pki::{AUTHORITY_VALIDITY, ClusterId, Credentials, NODE_VALIDITY};

const CLUSTER: ClusterId = ClusterId([7; 16]);

fn tls(authority: &Authority, node: &str) -> Tls {
    Tls::new(&authority.credentials(CLUSTER, node, SystemTime::now()))
}

fn ours_of(authority: &Authority) -> Credentials {
    authority.credentials(CLUSTER, "two", SystemTime::now())
}

/// A client that trusts one CA and shows the certificate of another.
fn showing(trusted: &Authority, shown: &Authority) -> Tls {
    Tls::showing(&ours_of(trusted), &ours_of(shown))
}

/// A handshake between two ends in memory. The client learns with its first read what the server thinks of it, so both read.
async fn meet(client: &Tls, server: &Tls) -> (Result<(), PeerError>, Result<(), PeerError>) {
    let (left, right) = duplex(1 << 20);
    let client = async {
        let (sender, mut receiver) = Connection::connect_over(left, client).await?.split();
        sender.close().await;
        ended(receiver.receive().await)
    };
    let server = async {
        let (sender, mut receiver) = Connection::accept_over(right, server).await?.split();
        sender.close().await;
        ended(receiver.receive().await)
    };
    tokio::join!(client, server)
}

fn ended(received: Result<Received, PeerError>) -> Result<(), PeerError> {
    match received {
        Err(PeerError::Closed) => Ok(()),
        Err(error) => Err(error),
        Ok(received) => panic!("nobody sent {received:?}"),
    }
}

async fn pair() -> (Connection<DuplexStream>, Connection<DuplexStream>) {
    let authority = Authority::new();
    let (left, right) = duplex(64 << 10);
    let (one, two) = (tls(&authority, "one"), tls(&authority, "two"));
    let (client, server) = tokio::join!(Connection::connect_over(left, &one), Connection::accept_over(right, &two));
    (client.expect("connected"), server.expect("accepted"))
}

fn ready(position: u64) -> Message {
    Message::Ready(Ready { position })
}

fn live(bytes: usize) -> Message {
    let records = Bytes::from((0..bytes).map(|index| ((index * 131) >> 3) as u8).collect::<Vec<u8>>());
    let (epochs, checks, floors) = (Vec::new(), Vec::new(), Vec::new());
    Message::Live(Live { upto: 1, records, epochs, checks, floors, reframe: Bytes::new() })
}

#[tokio::test]
async fn nodes_of_one_cluster_meet_and_know_each_others_names() {
    let (client, server) = pair().await;
    assert_eq!((client.peer_name().as_str(), server.peer_name().as_str()), ("two", "one"));
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused_at_either_end() {
    let (ours, theirs) = (tls(&Authority::new(), "one"), tls(&Authority::new(), "two"));
    let (client, _) = meet(&ours, &theirs).await;
    assert_eq!(client.expect_err("the server is a stranger").code(), "peer.other_authority");

    // A client that believes the server, with a certificate that the server does not believe: only the server can refuse.
    let (trusted, stranger) = (Authority::new(), Authority::new());
    let (client, server) = meet(&showing(&trusted, &stranger), &tls(&trusted, "one")).await;
    assert_eq!(server.expect_err("the client is a stranger").code(), "peer.other_authority");
    assert_eq!(client.expect_err("it is told").code(), "peer.refused");
}

#[tokio::test]
async fn a_certificate_of_another_cluster_is_refused_though_the_ca_is_ours() {
    let authority = Authority::new();
    let ours = tls(&authority, "one");
    let of_other = authority.credentials(ClusterId([8; 16]), "two", SystemTime::now());
    let (client, _) = meet(&ours, &Tls::new(&of_other)).await;
    assert_eq!(client.expect_err("the server is of another cluster").code(), "peer.other_cluster");
    let (_, server) = meet(&Tls::showing(&ours_of(&authority), &of_other), &ours).await;
    assert_eq!(server.expect_err("the client is of another cluster").code(), "peer.other_cluster");
}

#[tokio::test]
async fn an_expired_certificate_is_refused_at_either_end() {
    let long_ago = SystemTime::now() - NODE_VALIDITY - NODE_VALIDITY;
    let authority = Authority::made_at(long_ago);
    assert!(AUTHORITY_VALIDITY > NODE_VALIDITY * 3, "the CA itself still stands");
    let (fresh, stale) = (tls(&authority, "one"), Tls::new(&authority.credentials(CLUSTER, "two", long_ago)));
    let (client, _) = meet(&fresh, &stale).await;
    assert_eq!(client.expect_err("the server's has ended").code(), "peer.certificate_expired");
    let (client, server) = meet(&stale, &fresh).await;
    assert_eq!(server.expect_err("the client's has ended").code(), "peer.certificate_expired");
    assert_eq!(client.expect_err("it is told").code(), "peer.refused");
}

#[tokio::test]
async fn a_certificate_that_has_not_begun_is_refused() {
    let authority = Authority::new();
    let early = Tls::new(&authority.credentials(CLUSTER, "two", SystemTime::now() + Duration::from_secs(24 * 3600)));
    let (client, _) = meet(&tls(&authority, "one"), &early).await;
    assert_eq!(client.expect_err("it has not begun").code(), "peer.certificate_expired");
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let authority = Authority::new();
    let (client, server) = meet(&tls(&authority, "one").without_certificate(), &tls(&authority, "two")).await;
    assert_eq!(server.expect_err("it showed none").code(), "peer.no_certificate");
    assert_eq!(client.expect_err("it is told").code(), "peer.refused");
}

/// A ClientHello of TLS 1.2 (RFC 5246 §7.4.1.2): one suite, and no extension that offers a newer version.
fn client_hello_of_tls_1_2() -> Vec<u8> {
    let signatures = [0x00, 0x0d, 0x00, 0x04, 0x00, 0x02, 0x04, 0x03];
    let groups = [0x00, 0x0a, 0x00, 0x04, 0x00, 0x02, 0x00, 0x1d];
    let extensions = [&signatures[..], &groups].concat();
    let body = [&[3, 3][..], &[0x42; 32], &[0], &[0, 2, 0xc0, 0x2b], &[1, 0], &[0, extensions.len() as u8], &extensions].concat();
    let hello = [&[1, 0, 0, body.len() as u8][..], &body].concat();
    [&[0x16, 3, 1, 0, hello.len() as u8][..], &hello].concat()
}

#[tokio::test]
async fn a_client_of_tls_1_2_is_refused_with_the_proper_alert() {
    let (mut client, server) = duplex(1 << 16);
    client.write_all(&client_hello_of_tls_1_2()).await.expect("written");
    let error = Connection::accept_over(server, &tls(&Authority::new(), "one")).await.expect_err("too old");
    assert_eq!(error.code(), "peer.incompatible_tls", "{error}");
    let mut alert = [0; 7];
    client.read_exact(&mut alert).await.expect("an alert");
    assert_eq!((alert[0], alert[6]), (21, 70), "alert, protocol_version");
}

#[tokio::test]
async fn what_is_not_tls_is_a_typed_error_at_both_ends() {
    let one = tls(&Authority::new(), "one");
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"*1\r\n$4\r\nPING\r\n", &[0x16, 3, 3, 0xff, 0xff], &[0; 64]] {
        let (mut other, stream) = duplex(1 << 16);
        other.write_all(garbage).await.expect("written");
        drop(other);
        let error = Connection::accept_over(stream, &one).await.expect_err("garbage");
        assert!(matches!(error.code(), "peer.not_tls" | "peer.cut_off" | "peer.broken"), "{error}");
        let (mut other, stream) = duplex(1 << 16);
        other.write_all(garbage).await.expect("written");
        let error = Connection::connect_over(stream, &one).await.expect_err("garbage");
        assert!(matches!(error.code(), "peer.not_tls" | "peer.cut_off" | "peer.broken"), "{error}");
    }
}

#[tokio::test]
async fn the_control_port_is_not_taken_for_a_peer_port() {
    let authority = Authority::new();
    let (address, _server) = control_port(tls(&authority, "one")).await;
    let error = Connection::connect(&address, &tls(&authority, "two")).await.expect_err("no peer port");
    assert_eq!(error.code(), "peer.not_peer_port", "{error}");
}

#[tokio::test]
async fn a_connection_that_can_t_be_made_names_the_address() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("its address").to_string();
    let error = Connection::connect(&free, &tls(&Authority::new(), "one")).await.expect_err("nobody listens");
    assert!(error.code() == "peer.connect" && error.to_string().contains(&free), "{error}");
}

#[tokio::test]
async fn a_renewed_pair_is_shown_from_the_next_handshake_on_and_strangers_are_not_taken() {
    let authority = Authority::new();
    let long_ago = SystemTime::now() - NODE_VALIDITY - NODE_VALIDITY;
    let old = Authority::made_at(long_ago);
    let node = Tls::new(&old.credentials(CLUSTER, "one", long_ago));
    let peer = tls(&old, "two");
    assert!(meet(&peer, &node).await.0.is_err(), "it has expired");

    node.reload(&old.credentials(CLUSTER, "one", SystemTime::now())).expect("renewed");
    assert!(node.valid_until() > SystemTime::now());
    let (client, server) = meet(&peer, &node).await;
    assert!(client.is_ok() && server.is_ok(), "{client:?} {server:?}");
    let (client, server) = meet(&node, &peer).await;
    assert!(client.is_ok() && server.is_ok(), "{client:?} {server:?}");

    let refused = |renewed| node.reload(&renewed).expect_err("not ours").code();
    assert_eq!(refused(old.credentials(ClusterId([8; 16]), "one", SystemTime::now())), "pki.other_cluster");
    assert_eq!(refused(old.credentials(CLUSTER, "other", SystemTime::now())), "pki.other_node");
    assert_eq!(refused(authority.credentials(CLUSTER, "one", SystemTime::now())), "pki.damaged");
}

#[tokio::test]
async fn messages_arrive_whole_and_in_order_in_both_directions() {
    let (client, server) = pair().await;
    let ((mut send, mut receive), (mut send_back, mut receive_there)) = (client.split(), server.split());
    let sizes = [0, 1, 100, 16 << 10, 300 << 10, 1 << 20, 5];
    let there = async {
        for size in sizes {
            assert_eq!(send.send(&live(size)).await.expect("sent"), receive_size(size));
        }
        send.flush().await.expect("flushed");
        assert_eq!(receive.receive().await.expect("an answer").message, ready(9));
        send.close().await;
    };
    let back = async {
        for size in sizes {
            let received = receive_there.receive().await.expect("received");
            assert_eq!((received.message, received.wire_bytes), (live(size), receive_size(size)));
        }
        send_back.send(&ready(9)).await.expect("queued");
        send_back.flush().await.expect("sent");
        assert_eq!(receive_there.receive().await.expect_err("the end").code(), "peer.closed");
    };
    tokio::join!(there, back);
}

fn receive_size(size: usize) -> usize {
    limosa_wire::encode_with(&live(size), &limosa_wire::Context::default(), limosa_wire::Compression::Never).expect("encodes").len()
}

#[tokio::test]
async fn a_flush_or_receive_that_is_dropped_halfway_loses_no_byte() {
    let (client, server) = pair().await;
    let ((mut send, _back), (_answer, mut receive)) = (client.split(), server.split());
    for position in 0..40 {
        send.queue(&ready(position)).expect("queued");
        send.queue(&live(50 << 10)).expect("queued");
    }
    let mut received = Vec::new();
    while received.len() < 80 {
        // Both are dropped at every wait: the socket holds less than is queued.
        let _ = tokio::time::timeout(Duration::ZERO, send.flush()).await;
        if let Ok(message) = tokio::time::timeout(Duration::ZERO, receive.receive()).await {
            received.push(message.expect("whole").message);
        }
    }
    assert!(
        received
            .iter()
            .enumerate()
            .all(|(index, message)| *message == if index % 2 == 0 { ready(index as u64 / 2) } else { live(50 << 10) })
    );
    assert_eq!(send.queued_bytes(), 0);
}

#[tokio::test]
async fn a_declared_length_above_the_limit_is_refused_from_its_four_bytes() {
    let (client, server) = pair().await;
    let mut raw = client.into_stream();
    raw.write_all(&(1u32 << 31).to_be_bytes()).await.expect("written");
    raw.flush().await.expect("flushed");
    let (_sender, mut receiver) = server.split();
    let error = receiver.receive().await.expect_err("too large");
    assert_eq!(error.code(), "wire.too_large", "{error}");
    assert!(error.to_string().contains(&MESSAGE_BYTES_MAX.to_string()), "{error}");
    assert!(receiver.buffer_capacity() < 1 << 20, "nothing was allocated for it");
}

#[tokio::test]
async fn a_connection_cut_between_or_inside_messages_is_told_from_one_that_was_closed() {
    let (client, server) = pair().await;
    drop(client.split()); // as kill -9 does: no farewell
    let (_sender, mut receiver) = server.split();
    assert_eq!(receiver.receive().await.expect_err("cut").code(), "peer.cut_off");

    let (client, server) = pair().await;
    let mut raw = client.into_stream();
    raw.write_all(&[0, 0, 1, 0, 9, 9]).await.expect("written");
    raw.shutdown().await.expect("closed with a farewell, in the middle of a message");
    let (_sender, mut receiver) = server.split();
    assert_eq!(receiver.receive().await.expect_err("cut").code(), "peer.cut_off");
}

#[tokio::test(start_paused = true)]
async fn a_half_open_peer_times_out_and_one_that_pings_does_not() {
    let (client, server) = pair().await;
    let ((mut send, _receive), (_send, mut receive)) = (client.split(), server.split());
    let started = Instant::now();
    let pinging = async {
        while started.elapsed() < IDLE_TIMEOUT * 4 {
            tokio::time::sleep_until(send.ping_due()).await;
            send.ping_if_due().await.expect("pinged");
        }
    };
    let error = tokio::join!(pinging, receive.receive()).1.expect_err("the pings end, nothing else comes");
    assert_eq!(error.code(), "peer.timed_out");
    let silent_from = started + IDLE_TIMEOUT * 4;
    let waited = Instant::now() - silent_from;
    assert!(waited >= IDLE_TIMEOUT - PING_EVERY && waited <= IDLE_TIMEOUT + PING_EVERY, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn the_idle_limit_runs_on_when_a_caller_gives_up_waiting_again_and_again() {
    let (_client, server) = pair().await;
    let (_send, mut receive) = server.split();
    let started = Instant::now();
    let error = loop {
        if let Ok(ended) = tokio::time::timeout(Duration::from_secs(1), receive.receive()).await {
            break ended.expect_err("silence");
        }
    };
    assert_eq!(error.code(), "peer.timed_out");
    assert!(started.elapsed() <= IDLE_TIMEOUT + Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_times_out() {
    let (client, _server) = pair().await;
    let (mut send, _receive) = client.split();
    for _ in 0..8 {
        send.queue(&live(1 << 20)).expect("queued");
    }
    let started = Instant::now();
    assert_eq!(send.flush().await.expect_err("stuck").code(), "peer.timed_out");
    assert!(started.elapsed() >= WRITE_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_stranger_that_stalls_in_the_handshake_is_let_go() {
    let (_stranger, stream) = duplex(1 << 16);
    let started = Instant::now();
    let error = Connection::accept_over(stream, &tls(&Authority::new(), "one")).await.expect_err("stalled");
    assert_eq!(error.code(), "peer.timed_out");
    assert_eq!(started.elapsed().as_secs(), HANDSHAKE_TIMEOUT.as_secs());
}

/// Passes bytes on between a client and `target`; counts (client to target, target to client).
async fn relay(target: String) -> (String, Arc<(AtomicU64, AtomicU64)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let counts = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
    let shared = counts.clone();
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.expect("accepted");
        let target = TcpStream::connect(target).await.expect("connected");
        let ((client_read, client_write), (target_read, target_write)) = (client.into_split(), target.into_split());
        tokio::join!(pass(client_read, target_write, &shared.0), pass(target_read, client_write, &shared.1));
    });
    (address, counts)
}

async fn pass(mut from: impl tokio::io::AsyncRead + Unpin, mut to: impl tokio::io::AsyncWrite + Unpin, count: &AtomicU64) {
    let mut buffer = vec![0; 4096];
    while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
        count.fetch_add(bytes as u64, SeqCst);
        if to.write_all(&buffer[..bytes]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await; // the other side may be gone already
}

#[tokio::test]
async fn counters_are_the_bytes_that_a_relay_saw_and_both_ends_agree_on_the_handshake() {
    let authority = Authority::new();
    let (one, two) = (tls(&authority, "one"), tls(&authority, "two"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (address, seen) = relay(listener.local_addr().expect("its address").to_string()).await;

    let server = async {
        let connection = Connection::accept(listener.accept().await.expect("accepted").0, &two).await.expect("a handshake");
        let counters = connection.counters();
        let (mut send, mut receive) = connection.split();
        let hello = receive.receive().await.expect("a message").wire_bytes;
        receive.receive().await.expect("another");
        send.send(&live(2000)).await.expect("queued");
        send.close().await;
        assert_eq!(receive.receive().await.expect_err("the end").code(), "peer.closed");
        (counters, hello)
    };
    let client = async {
        let connection = Connection::connect(&address, &one).await.expect("a handshake");
        let counters = connection.counters();
        let (mut send, mut receive) = connection.split();
        send.send(&ready(1)).await.expect("queued"); // right behind the handshake, so that both may arrive at once
        send.flush().await.expect("sent");
        send.send(&live(100_000)).await.expect("queued");
        send.flush().await.expect("sent");
        receive.receive().await.expect("an answer");
        assert_eq!(receive.receive().await.expect_err("the end").code(), "peer.closed");
        send.close().await;
        counters
    };
    let (there, (here, _)) = tokio::join!(client, server);
    assert_eq!((there.bytes_out(), there.bytes_in()), (here.bytes_in(), here.bytes_out()));
    assert_eq!((seen.0.load(SeqCst), seen.1.load(SeqCst)), (there.bytes_out(), there.bytes_in()));
    assert_eq!((there.handshake_out(), there.handshake_in()), (here.handshake_in(), here.handshake_out()), "exact at both ends");
    assert!(there.handshake_out() > 500 && there.handshake_out() < 2500, "{}", there.handshake_out());
    assert!(there.bytes_out() - there.handshake_out() > 100_000);
}

async fn control_port(tls: Tls) -> (String, tokio::task::JoinHandle<Result<Caller, PeerError>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let task = tokio::spawn(async move {
        let (mut stream, caller) = sniff(listener.accept().await.expect("accepted").0, &tls).await?;
        let mut request = [0; 4];
        stream.read_exact(&mut request).await.map_err(|source| PeerError::Broken { what: "a request", source })?;
        stream.write_all(&request).await.map_err(|source| PeerError::Broken { what: "an answer", source })?;
        stream.shutdown().await.map_err(|source| PeerError::Broken { what: "an answer", source })?;
        Ok(caller)
    });
    (address, task)
}

async fn ask(address: &str, tls: Option<&Tls>) -> Result<(), PeerError> {
    let broken = |source| PeerError::Broken { what: "asking", source };
    let mut stream = connect_control(address, tls).await?;
    stream.write_all(b"ping").await.map_err(broken)?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).await.map_err(broken)?;
    assert_eq!(&answer, b"ping");
    Ok(())
}

#[tokio::test]
async fn the_control_port_takes_plain_and_tls_and_says_who_calls() {
    let authority = Authority::new();
    let node = tls(&authority, "one");
    for (client, certificate) in [
        (None, None),
        (Some(tls(&authority, "two")), Some("two".parse().expect("a name"))),
        (Some(tls(&authority, "two").without_certificate()), None),
    ] {
        let (address, task) = control_port(node.clone()).await;
        ask(&address, client.as_ref()).await.expect("answered");
        let caller = task.await.expect("no panic").expect("served");
        assert_eq!(caller, Caller { loopback: true, certificate });
    }
    let remote = |certificate| Caller { loopback: false, certificate };
    assert!(!remote(None).may_change() && remote(Some("two".parse().expect("a name"))).may_change());
}

#[tokio::test]
async fn the_control_port_refuses_a_wrong_certificate_and_a_silent_caller() {
    let authority = Authority::new();
    let (address, task) = control_port(tls(&authority, "one")).await;
    let stranger = showing(&authority, &Authority::new());
    assert!(ask(&address, Some(&stranger)).await.is_err());
    assert_eq!(task.await.expect("no panic").expect_err("a stranger").code(), "peer.other_authority");

    let (address, task) = control_port(tls(&authority, "one")).await;
    drop(TcpStream::connect(&address).await.expect("connected"));
    assert_eq!(task.await.expect("no panic").expect_err("nothing came").code(), "peer.closed");
}
