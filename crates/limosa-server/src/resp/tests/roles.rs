//! What a node answers that is not, or no longer, the owner; and WAIT.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::client::door;

#[test]
fn a_standby_answers_reads_only_after_readonly_and_never_a_write() {
    let door = door();
    let mut client = door.client();
    assert_eq!(client.call("SET a 1"), "+OK\r\n");
    door.node.is_owner.store(false, Ordering::SeqCst);
    let standby = "-STANDBY This node is a standby. Send READONLY to read what it holds, or ask the owner at 10.0.0.1:7600.\r\n";
    for read in ["GET a", "MGET a", "EXISTS a", "TTL a", "DBSIZE", "SCAN 0", "KEYS *", "RANDOMKEY"] {
        assert_eq!(client.call(read), standby, "{read}");
    }
    let refused = "-READONLY You can't write against a read only replica.\r\n";
    assert_eq!(client.call("SET a 2"), refused);
    assert_eq!(client.call("PING"), "+PONG\r\n");
    assert_eq!(client.call("READONLY"), "+OK\r\n");
    assert_eq!(client.call("GET a"), "$1\r\n1\r\n");
    assert_eq!(client.call("DBSIZE"), ":1\r\n");
    assert_eq!(client.call("FLUSHALL"), refused);
    assert_eq!(client.call("READWRITE"), "+OK\r\n");
    assert_eq!(client.call("GET a"), standby);
    assert!(client.call("INFO replication").contains("role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:7600\r\nmaster_link_status:up"));
}

#[test]
fn an_expired_key_reads_as_absent_on_a_standby() {
    let door = door();
    let mut client = door.client();
    assert_eq!(client.call("SET a 1 PXAT 1"), "+OK\r\n");
    door.node.is_owner.store(false, Ordering::SeqCst);
    assert_eq!(client.call("READONLY"), "+OK\r\n");
    assert_eq!(client.call("GET a"), "$-1\r\n");
    assert_eq!(client.call("KEYS *"), "*0\r\n");
}

#[test]
fn wait_ends_when_the_standbys_have_the_write_or_the_time_is_over() {
    let door = door();
    let mut client = door.client();
    assert_eq!(client.call("WAIT 1 10"), ":1\r\n", "nothing was written: everybody has it");
    assert_eq!(client.call("SET a 1"), "+OK\r\n");
    assert_eq!(client.call("WAIT 1 20"), ":0\r\n");
    assert_eq!(client.call("WAIT 0 0"), ":0\r\n");
    let (node, started) = (door.node.clone(), Instant::now());
    let standby = std::thread::spawn(move || {
        node.durable.store(1, Ordering::SeqCst);
        node.progress.send_replace(1);
    });
    assert_eq!(client.call("WAIT 1 10000"), ":1\r\n");
    assert!(started.elapsed() < Duration::from_secs(5));
    standby.join().expect("the standby does not panic");
    assert_eq!(client.call("WAIT 1 -1"), "-ERR timeout is negative\r\n");
    assert_eq!(client.call("WAIT a 1"), "-ERR value is not an integer or out of range\r\n");
    assert_eq!(client.call("WAIT 1 a"), "-ERR timeout is not an integer or out of range\r\n");
}
