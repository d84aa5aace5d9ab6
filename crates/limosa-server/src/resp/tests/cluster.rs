//! What a node of a cluster answers: redirects, the pictures that cluster clients ask for, standbys' reads, and causal tokens.

use std::sync::Arc;
use std::time::Duration;

use limosa_core::Expiry;

use super::super::Options;
use super::super::cluster::scripted::Script;
use super::super::keyspace::{Backend, Keyspace};
use super::super::memory::Memory;
use super::client::{Door, TestNode, door, door_of};

/// Front doors of a cluster of two over one keyspace; slots 0 to 8191 are the first one's. `foo` (12182) and `a` (15495) are the second
/// one's, `b` (3300) the first one's.
pub(super) fn two(options: &Options) -> (Arc<Script>, [Door; 2]) {
    let (script, memory) = (Script::new(&[("one", 1), ("two", 2)], 2), Arc::new(Memory::default()));
    memory.set_fragments(2);
    let doors = [0, 1].map(|node| door_of(memory.clone(), TestNode::of(script.node(node)), options.clone()));
    (script, doors)
}

#[test]
fn each_slot_is_served_by_its_owner_and_named_by_the_others() {
    let (script, doors) = two(&Options::default());
    let [mut one, mut two] = doors.each_ref().map(Door::client);
    assert_eq!(two.call("SET foo 1"), "+OK\r\n");
    assert_eq!(one.call("SET foo 1"), "-MOVED 12182 two:2\r\n");
    assert_eq!(one.call("GET foo"), "-MOVED 12182 two:2\r\n");
    assert_eq!(two.call("MGET foo a"), "-CROSSSLOT Keys in request don't hash to the same slot\r\n");
    assert_eq!(two.call("MGET {foo}1 foo"), "*2\r\n$-1\r\n$1\r\n1\r\n");
    assert_eq!(two.call("PING"), "+PONG\r\n");
    script.hand_over(1, 0);
    assert_eq!(two.call("GET foo"), "-MOVED 12182 one:1\r\n");
    assert_eq!(one.call("GET foo"), "$1\r\n1\r\n");
    script.set_down(1, true);
    assert_eq!(one.call("GET foo"), "-CLUSTERDOWN Hash slot not served: a script says so\r\n");
    assert_eq!(one.call("SELECT 1"), "-ERR SELECT is not allowed in cluster mode\r\n");
}

#[test]
fn commands_on_all_keys_see_and_change_what_the_node_serves() {
    let (_script, doors) = two(&Options::default());
    let [mut one, mut two] = doors.each_ref().map(Door::client);
    assert_eq!([two.call("SET foo 1"), two.call("SET a 1"), one.call("SET b 1")], ["+OK\r\n", "+OK\r\n", "+OK\r\n"]);
    assert_eq!([one.call("DBSIZE"), two.call("DBSIZE")], [":1\r\n", ":2\r\n"]);
    assert_eq!([one.call("KEYS *"), one.call("SCAN 0")], ["*1\r\n$1\r\nb\r\n", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nb\r\n"]);
    assert_eq!(one.call("RANDOMKEY"), "$1\r\nb\r\n");
    assert_eq!([one.call("CLUSTER COUNTKEYSINSLOT 3300"), one.call("CLUSTER COUNTKEYSINSLOT 12182")], [":1\r\n", ":0\r\n"]);
    assert_eq!(two.call("CLUSTER GETKEYSINSLOT 12182 10"), "*1\r\n$3\r\nfoo\r\n");
    assert_eq!(two.call("CLUSTER GETKEYSINSLOT 16384 10"), "-ERR Invalid slot\r\n");
    assert_eq!(one.call("FLUSHALL"), "+OK\r\n");
    assert_eq!([one.call("DBSIZE"), two.call("DBSIZE")], [":0\r\n", ":2\r\n"]);
}

#[test]
fn the_picture_is_told_in_every_form() {
    let (script, doors) = two(&Options::default());
    let mut one = doors[0].client();
    let id = |index: usize| super::super::cluster::node_id(&format!("node{index}"), 1);
    let node = |index: usize, host: &str| format!("*4\r\n$3\r\n{host}\r\n:{}\r\n$40\r\n{}\r\n*0\r\n", index + 1, id(index));
    let expected = format!("*2\r\n*3\r\n:0\r\n:8191\r\n{}*3\r\n:8192\r\n:16383\r\n{}", node(0, "one"), node(1, "two"));
    assert_eq!(one.call("CLUSTER SLOTS"), expected);
    assert_eq!(one.call("CLUSTER MYID"), format!("$40\r\n{}\r\n", id(0)));
    assert_eq!(one.call("CLUSTER KEYSLOT foo"), ":12182\r\n");
    let nodes = one.call("CLUSTER NODES");
    assert!(nodes.contains(&format!("{} one:1@0 myself,master - 0 0 1 connected 0-8191\n", id(0))), "{nodes}");
    let info = one.call("CLUSTER INFO");
    for line in ["cluster_state:ok", "cluster_slots_assigned:16384", "cluster_known_nodes:2", "cluster_size:2"] {
        assert!(info.contains(&format!("{line}\r\n")), "{line} in {info}");
    }
    assert!(one.call("CLUSTER SHARDS").starts_with("*2\r\n*4\r\n$5\r\nslots\r\n*2\r\n:0\r\n:8191\r\n$5\r\nnodes\r\n*1\r\n*14\r\n"));
    assert!(one.call("CLUSTER LINKS").starts_with("*1\r\n*12\r\n"));
    assert!(one.call("INFO").contains("redis_mode:cluster\r\n") && one.call("INFO cluster").contains("cluster_enabled:1\r\n"));

    // the second one gives its slots away and holds the copy
    script.hand_over(1, 0);
    let nodes = one.call("CLUSTER NODES");
    assert!(nodes.contains(&format!("{} two:2@0 slave {} 0 0 0 connected\n", id(1), id(0))), "{nodes}");
    assert!(nodes.contains("connected 0-16383\n"), "{nodes}");
    script.set_down(0, true);
    assert!(one.call("CLUSTER INFO").contains("cluster_state:fail\r\n"));
}

#[test]
fn an_owner_that_is_a_standby_too_is_named_as_owner_first() {
    let (script, doors) = two(&Options::default());
    script.hand_over(0, 1);
    script.hand_over(1, 0);
    let slots = doors[0].client().call("CLUSTER SLOTS");
    let roles: Vec<&str> = slots.split("\r\n").filter(|line| ["$3", ":1", ":2"].iter().all(|other| line != other)).collect();
    let first_of = |host: &str| roles.iter().position(|word| *word == host).expect("it is named");
    let owned = |host: &str| roles[first_of(host) - 3..first_of(host)].iter().filter(|word| word.starts_with(':')).count();
    assert!(slots.starts_with("*4\r\n*3\r\n"), "{slots}");
    assert_eq!([owned("one"), owned("two")], [2, 2], "behind its slots, not behind another node: {slots}");
    assert!(slots.contains(":1\r\n:8191\r\n") && slots.contains(":8193\r\n:16383\r\n"), "{slots}");
}

#[test]
fn outside_of_a_cluster_its_commands_say_so_and_keys_of_all_slots_go_together() {
    let door = door();
    let mut client = door.client();
    for command in ["SLOTS", "SHARDS", "NODES", "INFO", "MYID", "KEYSLOT a", "COUNTKEYSINSLOT 1", "GETKEYSINSLOT 1 1", "LINKS"] {
        assert_eq!(client.call(&format!("CLUSTER {command}")), "-ERR This instance has cluster support disabled\r\n", "{command}");
    }
    assert_eq!(client.call("MSET a 1 b 2 c 3"), "+OK\r\n");
    assert!(client.call("INFO").contains("cluster_enabled:0\r\n"));
    assert_eq!(client.call("LIMOSA.STALENESS"), ":0\r\n");
}

#[test]
fn what_redis_does_between_nodes_is_refused_with_what_does_it_here() {
    let (_script, doors) = two(&Options::default());
    let mut client = doors[0].client();
    for (command, instead) in [("MEET h 1", "limosa node join"), ("FAILOVER", "limosa failover"), ("SETSLOT 1 NODE x", "limosa move")] {
        let reply = client.call(&format!("CLUSTER {command}"));
        assert!(reply.starts_with("-ERR CLUSTER ") && reply.contains(instead), "{reply}");
    }
    assert!(client.call("CLUSTER NOPE").starts_with("-ERR unknown subcommand 'NOPE'"));
    assert_eq!(client.call("ASKING"), "+OK\r\n");
}

#[test]
fn a_standby_answers_those_who_said_readonly_while_it_is_fresh_enough() {
    let options = Options { staleness_max: Some(Duration::from_secs(2)), ..Options::default() };
    let (script, doors) = two(&options);
    let [mut one, mut two] = doors.each_ref().map(Door::client);
    assert_eq!(two.call("SET foo 1"), "+OK\r\n");
    script.hand_over(1, 0);
    let moved = "-MOVED 12182 one:1\r\n";
    assert_eq!(two.call("GET foo"), moved);
    assert_eq!(two.call("READONLY"), "+OK\r\n");
    assert_eq!(two.call("GET foo"), moved, "it can't tell how old its copy is");
    assert_eq!(two.call("LIMOSA.STALENESS foo"), "$-1\r\n");
    script.set_staleness(Some(Duration::from_millis(1500)));
    assert_eq!(two.call("GET foo"), "$1\r\n1\r\n");
    assert_eq!([two.call("LIMOSA.STALENESS foo"), two.call("LIMOSA.STALENESS")], [":1500\r\n", ":1500\r\n"]);
    assert_eq!([one.call("LIMOSA.STALENESS foo"), one.call("LIMOSA.STALENESS")], [":0\r\n", ":0\r\n"]);
    assert_eq!(two.call("SET foo 2"), moved);
    script.set_staleness(Some(Duration::from_millis(2500)));
    assert_eq!(two.call("GET foo"), moved, "too old");
    script.set_staleness(Some(Duration::ZERO));
    assert_eq!(two.call("GET foo"), "$1\r\n1\r\n");
    assert_eq!(two.call("READWRITE"), "+OK\r\n");
    assert_eq!(two.call("GET foo"), moved);
}

#[test]
fn a_read_with_a_token_waits_until_the_standby_has_what_it_names() {
    let script = Script::new(&[("one", 1), ("two", 2)], 1);
    let [owners, standbys] = [Arc::new(Memory::default()), Arc::new(Memory::default())];
    let one = door_of(owners, TestNode::of(script.node(0)), Options::default());
    let two = door_of(standbys.clone(), TestNode::of(script.node(1)), Options::default());
    script.hand_over(0, 1);
    script.hand_over(0, 0); // the second one is a standby
    let (mut writer, mut reader) = (one.client(), two.client());
    assert_eq!(writer.call("LIMOSA.TOKEN"), "$3\r\nl1:\r\n");
    assert_eq!([writer.call("SET foo 1"), writer.call("SET foo 2")], ["+OK\r\n", "+OK\r\n"]);
    assert_eq!(writer.call("LIMOSA.TOKEN"), "$8\r\nl1:0.1.2\r\n");
    assert_eq!(reader.call("READONLY"), "+OK\r\n");
    assert_eq!(reader.call("GET foo"), "$-1\r\n", "without a token it answers what it has");
    assert_eq!(reader.call("LIMOSA.TOKEN SET l1:0.1.2"), "+OK\r\n");
    let late = std::thread::spawn(move || {
        for value in [b"1", b"2"] {
            std::thread::sleep(Duration::from_millis(5));
            let mut head = standbys.begin(true);
            head.set(b"foo", value, Expiry::NEVER).expect("memory does not fail");
            head.commit();
        }
    });
    assert_eq!(reader.call("GET foo"), "$1\r\n2\r\n");
    late.join().expect("the stream does not panic");
    assert_eq!(reader.call("LIMOSA.TOKEN SET nonsense"), "-ERR invalid token: LIMOSA.TOKEN answers with valid ones\r\n");
    assert_eq!(reader.call("LIMOSA.TOKEN SET l1:7.1.1"), "+OK\r\n");
    assert_eq!(reader.call("GET foo"), "$1\r\n2\r\n", "its own fragment is named and held");
    assert_eq!(reader.call("RESET"), "+RESET\r\n");
}
