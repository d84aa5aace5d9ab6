//! Replies that wait for standbys: until these have what the reply tells, or for the timeout.

use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use limosa_core::FragmentId;

use super::super::Options;
use super::super::cluster::AckLevel;
use super::client::{Door, encode};
use super::cluster::two;

const MOMENT: Duration = Duration::from_millis(30);
/// Of `foo`; `b` is in the other.
const F: FragmentId = FragmentId(1);

fn standby(ack_timeout: Duration) -> Options {
    Options { ack: AckLevel::Standby, ack_timeout, ..Options::default() }
}

#[test]
fn writes_and_reads_are_answered_once_standbys_have_what_they_saw() {
    let (script, doors) = two(&standby(Duration::from_secs(10)));
    let [mut one, mut two] = doors.each_ref().map(Door::client);
    script.set_acked(F, 0);
    assert_eq!(one.call("SET b 1"), "+OK\r\n", "another fragment's standbys do not matter");
    let (began, acking) = (Instant::now(), script.clone());
    let progress = spawn(move || {
        sleep(MOMENT);
        acking.set_acked(F, 2);
        sleep(MOMENT);
        acking.set_acked(F, 3);
    });
    two.send(&[encode(&[b"SET", b"foo", b"1"]), encode(&[b"GET", b"foo"])].concat());
    assert_eq!([two.reply(), two.reply()], ["+OK\r\n", "$1\r\n1\r\n"]);
    assert!(began.elapsed() >= MOMENT);
    two.send(&encode(&[b"SET", b"foo", b"2"]));
    assert_eq!(doors[1].client().call("GET foo"), "$1\r\n2\r\n", "a read of another connection waits for the write that it saw");
    assert!(began.elapsed() >= 2 * MOMENT);
    assert_eq!(two.reply(), "+OK\r\n");
    progress.join().expect("standbys do not panic");
    assert_eq!(two.call("WAIT 1 10"), ":1\r\n");
}

#[test]
fn what_is_not_acknowledged_in_time_is_an_error_in_its_place_and_the_connection_lives_on() {
    let (script, doors) = two(&standby(MOMENT));
    let mut two = doors[1].client();
    let large = vec![b'x'; 600 << 10];
    assert_eq!(two.call_args(&[b"SET", b"foo{a}", &large]), "+OK\r\n");
    script.set_acked(F, 1);
    let commands: [&[&[u8]]; 5] = [&[b"PING"], &[b"GET", b"b"], &[b"SET", b"foo", b"1"], &[b"GET", b"foo{a}"], &[b"ECHO", b"end"]];
    two.send(&commands.iter().flat_map(|args| encode(args)).collect::<Vec<_>>());
    assert_eq!([two.reply(), two.reply()], ["+PONG\r\n", "-MOVED 3300 one:1\r\n"]);
    let refused = "-NOACK Not enough standbys confirmed in 30 ms what this command wrote or read; it may be kept or lost\r\n";
    assert_eq!([two.reply(), two.reply()], [refused, refused], "a value that is sent in pieces is not sent either");
    assert_eq!(two.reply(), "$3\r\nend\r\n");
    assert_eq!(two.call("WAIT 1 1"), ":0\r\n");
    script.set_acked(F, 2);
    assert_eq!(two.call("GET foo"), "$1\r\n1\r\n");
    assert_eq!(two.call("GET foo{a}").len(), large.len() + "$614400\r\n\r\n".len());
}

#[test]
fn a_write_whose_fragment_left_and_came_back_meanwhile_is_answered_as_unknown_at_once_unless_it_was_given() {
    for (is_given, expected) in [(true, "+OK\r\n"), (false, "-NOACK Another node took over")] {
        let (script, doors) = two(&standby(Duration::from_secs(600)));
        let [mut two, mut other] = [doors[1].client(), doors[1].client()];
        script.set_acked(F, 0);
        two.send(&[encode(&[b"SET", b"foo", b"1"]), encode(&[b"PING"])].concat());
        while !other.call("DBSIZE").starts_with(":1") {}
        script.end_stint(F, is_given);
        script.set_acked(F, 1000);
        let reply = two.reply();
        assert!(reply.starts_with(expected), "{reply}");
        assert_eq!(two.reply(), "+PONG\r\n", "the connection goes on");
        assert_eq!(two.call("SET foo 2"), "+OK\r\n", "what is written now waits for what is acknowledged now");
    }
}

#[test]
fn an_owner_without_its_read_lease_answers_no_read_until_it_has_it_again() {
    for ack in [AckLevel::Local, AckLevel::Standby] {
        let (script, doors) = two(&Options { ack, ack_timeout: MOMENT, ..Options::default() });
        let mut two = doors[1].client();
        assert_eq!(two.call("SET foo 1"), "+OK\r\n");
        script.set_lease(false);
        assert!(two.call("GET foo").starts_with("-NOACK "));
        assert_eq!(two.call("SET foo 2"), "+OK\r\n", "a write is as safe as its ack level");
        two.send(&encode(&[b"GET", b"foo"]));
        script.set_lease(true);
        assert_eq!(two.reply(), "$1\r\n2\r\n");
    }
}

#[test]
fn many_waiting_connections_are_answered_by_one_step() {
    let (script, doors) = two(&standby(Duration::from_secs(10)));
    script.set_acked(F, 0);
    let mut clients: Vec<_> = (0..200).map(|_| doors[1].client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(&encode(&[b"SET", format!("{{foo}}{number}").as_bytes(), b"1"]));
    }
    let mut other = doors[1].client();
    while !other.call("DBSIZE").starts_with(":200") {}
    script.set_acked(F, 200);
    for client in &mut clients {
        assert_eq!(client.reply(), "+OK\r\n");
    }
}
