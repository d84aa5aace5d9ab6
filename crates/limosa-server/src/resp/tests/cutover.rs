//! What requests meet while a slot changes hands: they wait, in order, within bounds, and are answered.

use std::sync::atomic::Ordering;
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use super::super::Options;
use super::client::{Door, door, encode};
use super::cluster::two;

const MOMENT: Duration = Duration::from_millis(30);

#[test]
fn a_request_waits_for_the_cutover_and_is_then_answered_or_redirected() {
    let (script, doors) = two(&Options::default());
    let [mut one, mut two] = doors.each_ref().map(Door::client);
    script.park(1);
    for client in [&mut one, &mut two] {
        client.send(&[encode(&[b"PING"]), encode(&[b"SET", b"foo", b"1"]), encode(&[b"PING"])].concat());
        assert_eq!(client.reply(), "+PONG\r\n", "what came before leaves at once");
    }
    assert_eq!(doors[1].client().call("GET foo{b}"), "-MOVED 3300 one:1\r\n", "other slots go on");
    assert!(doors[1].client().call("INFO clients").contains("blocked_clients:1\r\n"));
    let began = Instant::now();
    let end = spawn(move || {
        sleep(MOMENT);
        script.hand_over(1, 0);
    });
    assert_eq!([one.reply(), one.reply()], ["+OK\r\n", "+PONG\r\n"], "the new owner had let it wait");
    assert_eq!([two.reply(), two.reply()], ["-MOVED 12182 one:1\r\n", "+PONG\r\n"]);
    assert!(began.elapsed() >= MOMENT);
    end.join().expect("the script does not panic");
}

#[test]
fn a_gate_that_shuts_behind_the_route_is_waited_for() {
    for is_clustered in [true, false] {
        let (_script, doors) = two(&Options::default());
        let alone = door();
        let door = if is_clustered { &doors[1] } else { &alone };
        let (mut client, memory) = (door.client(), door.memory.clone());
        memory.is_shut.store(true, Ordering::SeqCst);
        let began = Instant::now();
        let open = spawn(move || {
            sleep(MOMENT);
            memory.is_shut.store(false, Ordering::SeqCst);
        });
        client.send(&[encode(&[b"INCR", b"foo"]), encode(&[b"GET", b"foo"])].concat());
        assert_eq!([client.reply(), client.reply()], [":1\r\n", "$1\r\n1\r\n"]);
        assert!(began.elapsed() >= MOMENT);
        open.join().expect("the gate opens");
    }
}

#[test]
fn a_cutover_that_does_not_end_is_an_error_of_its_requests_alone() {
    let options = Options { park_max: MOMENT, ..Options::default() };
    let (script, doors) = two(&options);
    let mut client = doors[1].client();
    script.park(1);
    client.send(&[encode(&[b"SET", b"foo", b"1"]), encode(&[b"GET", b"b"]), encode(&[b"FLUSHALL"])].concat());
    assert!(client.reply().starts_with("-CLUSTERDOWN Hash slot not served: it has been changing hands for "));
    assert_eq!(client.reply(), "-MOVED 3300 one:1\r\n");
    assert!(client.reply().starts_with("-CLUSTERDOWN "), "it would leave the parked slots out");
    script.hand_over(1, 1);
    assert_eq!(client.call("SET foo 1"), "+OK\r\n");
}

#[test]
fn a_large_value_goes_on_behind_a_cutover() {
    let (script, doors) = two(&Options::default());
    let value = vec![b'x'; 5 << 20];
    let request = encode(&[b"SET", b"foo", &value]);
    let [mut one, mut two] = doors.each_ref().map(Door::client);
    two.send(&request[..2 << 20]);
    script.park(1);
    doors[1].memory.is_shut.store(true, Ordering::SeqCst);
    let (memory, again) = (doors[1].memory.clone(), script.clone());
    let end = spawn(move || {
        sleep(MOMENT);
        memory.is_shut.store(false, Ordering::SeqCst);
        again.hand_over(1, 1);
    });
    two.send(&request[2 << 20..]);
    assert_eq!(two.reply(), "+OK\r\n");
    end.join().expect("the script does not panic");
    assert_eq!(two.call("STRLEN foo"), format!(":{}\r\n", value.len()));

    two.send(&request[..2 << 20]);
    assert_eq!(doors[1].client().call("STRLEN foo"), format!(":{}\r\n", value.len()), "the door has read on");
    script.hand_over(1, 0);
    two.send(&request[2 << 20..]);
    assert_eq!(two.reply(), "-MOVED 12182 one:1\r\n");
    assert_eq!(two.call("PING"), "+PONG\r\n", "its bytes were read to their end");
    one.send(&request);
    assert_eq!(one.reply(), "+OK\r\n");
    assert!(doors[1].memory.arriving().is_empty(), "what was refused is given up");
}

#[test]
fn no_write_is_lost_or_doubled_while_slots_change_hands_under_load() {
    const WRITES: usize = 300;
    let (script, doors) = two(&Options::default());
    std::thread::scope(|scope| {
        let moving = scope.spawn(|| {
            for turn in 0..60 {
                script.park(1);
                sleep(Duration::from_millis(2));
                script.hand_over(1, turn % 2);
                sleep(Duration::from_millis(1));
            }
        });
        for number in 0..4 {
            let mut clients = doors.each_ref().map(Door::client);
            scope.spawn(move || {
                let mut at = 1;
                let key = format!("{{foo}}{number}");
                let mut written = 0;
                while written < WRITES {
                    match clients[at].call(&format!("INCR {key}")) {
                        reply if reply.starts_with("-MOVED 12182 ") => at = 1 - at,
                        reply => {
                            written += 1;
                            assert_eq!(reply, format!(":{written}\r\n"));
                        }
                    }
                }
            });
        }
        moving.join().expect("the script does not panic");
    });
}
