//! Pipelines, splits, broken bytes, many clients, and the end.

use std::sync::atomic::Ordering;

use super::super::keyspace::Backend;
use super::client::{door, encode};

#[test]
fn a_pipeline_is_answered_in_order_whatever_it_mixes() {
    let door = door();
    let mut client = door.client();
    let commands: [&[&[u8]]; 7] =
        [&[b"SET", b"a", b"1"], &[b"DBSIZE"], &[b"SET", b"b", b"2"], &[b"NOPE"], &[b"DBSIZE"], &[b"GET"], &[b"GET", b"b"]];
    client.send(&commands.iter().flat_map(|args| encode(args)).collect::<Vec<_>>());
    let expected = ["+OK", ":1", "+OK", "-ERR unknown command 'NOPE', with args beginning with: ", ":2"];
    for line in expected {
        assert_eq!(client.reply(), format!("{line}\r\n"));
    }
    assert_eq!(client.reply(), "-ERR wrong number of arguments for 'get' command\r\n");
    assert_eq!(client.reply(), "$1\r\n2\r\n");
}

#[test]
fn a_long_pipeline_is_answered_whole() {
    let door = door();
    let mut client = door.client();
    let bytes: Vec<u8> = (0..5000).flat_map(|i| encode(&[b"INCRBY", b"n", i.to_string().as_bytes()])).collect();
    client.send(&bytes);
    let last = (0..5000).map(|_| client.reply()).last();
    assert_eq!(last, Some(format!(":{}\r\n", 5000 * 4999 / 2)));
}

#[test]
fn a_pipeline_that_has_arrived_pays_one_flush() {
    let door = door();
    let mut client = door.client();
    let pipeline: Vec<u8> = (0..3000).flat_map(|i| encode(&[b"SET", format!("key:{i}").as_bytes(), b"value"])).collect();
    let held = Backend::begin(&*door.memory, true); // the front door stands at its first command until all have come
    client.send(&pipeline[..40]);
    client.send(&pipeline[40..]);
    drop(held);
    (0..3000).for_each(|_| assert_eq!(client.reply(), "+OK\r\n"));
    let info = client.call("INFO stats");
    let flushes = info.lines().find_map(|line| line.strip_prefix("limosa_group_commits_by_clients:")).expect("INFO tells it");
    assert!(flushes.parse::<u64>().is_ok_and(|flushes| flushes <= 3), "{flushes} flushes for {} bytes", pipeline.len());
}

#[test]
fn commands_that_walk_all_keys_keep_their_place_in_a_pipeline() {
    let door = door();
    let mut client = door.client();
    let commands: [&[&[u8]]; 5] = [&[b"SET", b"a", b"1"], &[b"KEYS", b"*"], &[b"DEL", b"a"], &[b"KEYS", b"*"], &[b"NOPE"]];
    client.send(&commands.iter().flat_map(|args| encode(args)).collect::<Vec<_>>());
    for line in ["+OK\r\n", "*1\r\n$1\r\na\r\n", ":1\r\n", "*0\r\n"] {
        assert_eq!(client.reply(), line);
    }
    assert!(client.reply().starts_with("-ERR unknown command"));
}

#[test]
fn a_command_may_come_byte_by_byte() {
    let door = door();
    let mut client = door.client();
    for byte in encode(&[b"SET", b"key", b"value"]) {
        client.send(&[byte]);
    }
    assert_eq!(client.reply(), "+OK\r\n");
    assert_eq!(client.call("GET key"), "$5\r\nvalue\r\n");
}

#[test]
fn a_large_value_goes_in_and_out() {
    let door = door();
    let mut client = door.client();
    let value = vec![b'x'; 5 << 20];
    assert_eq!(client.call_args(&[b"SET", b"large", &value]), "+OK\r\n");
    assert_eq!(client.call("STRLEN large"), format!(":{}\r\n", value.len()));
    assert_eq!(client.call("GET large").len(), value.len() + "$5242880\r\n\r\n".len());
}

#[test]
fn replies_before_broken_bytes_are_sent_and_the_connection_ends() {
    let door = door();
    let mut client = door.client();
    client.send(b"SET a 1\r\n*1\r\n$-1\r\nGET a\r\n");
    assert_eq!(client.reply(), "+OK\r\n");
    assert_eq!(client.reply(), "-ERR Protocol error: invalid bulk length\r\n");
    assert_eq!(client.reply(), "");
    assert_eq!(door.client().call("GET a"), "$1\r\n1\r\n", "the front door is as before");
}

#[test]
fn an_http_request_is_not_answered() {
    let door = door();
    let mut client = door.client();
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\n\r\nSET a 1\r\n");
    assert_eq!(client.reply(), "");
    assert_eq!(door.client().call("EXISTS a"), ":0\r\n");
}

#[test]
fn one_client_too_many_is_told_so() {
    let door = door();
    let mut first = door.client();
    assert_eq!(first.call("CONFIG SET maxclients 1"), "+OK\r\n");
    assert_eq!(door.client().reply(), "-ERR max number of clients reached\r\n");
    assert_eq!(first.call("PING"), "+PONG\r\n");
}

#[test]
fn quit_is_answered_and_what_follows_is_not() {
    let door = door();
    let mut client = door.client();
    client.send(b"PING\r\nQUIT\r\nPING\r\n");
    assert_eq!([client.reply(), client.reply(), client.reply()], ["+PONG\r\n", "+OK\r\n", ""]);
}

#[test]
fn stopping_ends_idle_connections_and_the_listener() {
    let door = door();
    let (mut idle, address) = (door.client(), door.address);
    assert_eq!(idle.call("PING"), "+PONG\r\n");
    door.handle.stop();
    assert_eq!(idle.reply(), "");
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn clients_are_listed_with_what_they_said_of_themselves() {
    let door = door();
    let (mut a, mut b) = (door.client(), door.client());
    assert_eq!(a.call("CLIENT SETNAME one"), "+OK\r\n");
    assert_eq!(a.call("CLIENT SETINFO LIB-NAME lib"), "+OK\r\n");
    assert_eq!(b.call("CLIENT GETNAME"), "$-1\r\n");
    let list = b.call("CLIENT LIST");
    assert_eq!(list.matches("id=").count(), 2);
    assert!(list.contains(" name=one ") && list.contains(" lib-name=lib ") && list.contains(" cmd=client|list "));
    assert_eq!(a.call("RESET"), "+RESET\r\n");
    assert_eq!(a.call("CLIENT GETNAME"), "$-1\r\n");
}

#[test]
fn settings_are_read_and_changed_under_their_names() {
    let door = door();
    let mut client = door.client();
    assert_eq!(client.call("CONFIG GET save"), "*2\r\n$4\r\nsave\r\n$0\r\n\r\n");
    assert_eq!(client.call("CONFIG GET appendfsync"), "*2\r\n$11\r\nappendfsync\r\n$6\r\nalways\r\n");
    assert_eq!(client.call("CONFIG SET timeout 100"), "+OK\r\n");
    assert_eq!(client.call("CONFIG GET timeout"), "*2\r\n$7\r\ntimeout\r\n$3\r\n100\r\n");
    let immutable = "-ERR CONFIG SET failed (possibly related to argument 'port') - can't set immutable config\r\n";
    assert_eq!(client.call("CONFIG SET port 1"), immutable);
    let unknown = "-ERR Unknown option or number of arguments for CONFIG SET - 'nope'\r\n";
    assert_eq!(client.call("CONFIG SET nope 1"), unknown);
}

#[test]
fn a_write_that_finds_no_room_is_an_error_and_the_end_of_its_connection_until_there_is_room() {
    let door = door();
    let mut client = door.client();
    assert_eq!(client.call("SET a 1"), "+OK\r\n");
    door.memory.is_full.store(true, Ordering::SeqCst);
    assert_eq!(client.call("SET a 2"), "-MISCONF Errors writing to the AOF file: no room\r\n");
    assert_eq!(client.reply(), "");
    door.memory.is_full.store(false, Ordering::SeqCst);
    assert_eq!(door.client().call("SET b 1"), "+OK\r\n");
}

#[test]
fn clients_that_write_together_share_group_commits_and_see_their_writes() {
    let door = door();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let mut client = door.client();
            scope.spawn(move || {
                for turn in 0..200 {
                    assert_eq!(client.call(&format!("SET {number} {turn}")), "+OK\r\n");
                    assert_eq!(client.call(&format!("GET {number}")), format!("${}\r\n{turn}\r\n", turn.to_string().len()));
                }
            });
        }
    });
    assert_eq!(door.client().call("DBSIZE"), ":8\r\n");
}
