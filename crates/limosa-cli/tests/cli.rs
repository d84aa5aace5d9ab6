//! The program itself, asked in front of a node that only remembers; exit codes are part of the contract.

#[path = "../../limosa-server/tests/fake/mod.rs"]
mod fake;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fake::FakeNode;
use limosa_node::pki::Pki;
use limosa_node::transport::Tls;
use limosa_server::http::Hosts;
use limosa_server::server::HttpDoor;
use serde_json::Value;

/// A served fake node; its certificates lie in a folder of their own.
struct Stage {
    node: Arc<FakeNode>,
    address: SocketAddr,
    dir: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
    _door: HttpDoor,
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let pki = Pki::create(dir.path(), &"a".parse().expect("a name")).expect("certificates");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let node = Arc::new(FakeNode::default());
        let tls = Tls::new(pki.credentials());
        let door = runtime.block_on(async { HttpDoor::open(listener, tls, Arc::clone(&node), Hosts::default()) }).expect("it is served");
        Self { node, address, dir, _runtime: runtime, _door: door }
    }

    fn ask(&self, words: &str) -> Output {
        limosa(&format!("{words} --node {}", self.address))
    }
}

fn limosa(words: &str) -> Output {
    limosa_in(Path::new("."), words)
}

fn limosa_in(dir: &Path, words: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_limosa"));
    command.args(words.split_whitespace()).current_dir(dir).env_remove("LIMOSA_NODE").env("NO_COLOR", "1");
    command.output().expect("the program runs")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_question_is_answered_as_table_and_as_json() {
    let stage = Stage::new();
    for (words, part) in [
        ("status", "sending frames, 1.0 MiB of 4.0 MiB (25 %) by delta"),
        ("fragment show", "8192-16383"),
        ("fragment show 1", "state digest"),
        ("plan", "delta rather than copy (99.2 MiB)"),
        ("transfers", "1,000"),
        ("verify", "b: agrees in 2 fragments at commit 42; last scrub 12 s ago"),
        ("verify --peer c", "c: agrees"),
        ("promote", "epoch 2"),
        ("follow db1:7601", "standby of db1:7601"),
        ("quarantine list", "tail-1.jsonl"),
    ] {
        let table = stage.ask(words);
        assert_eq!(table.status.code(), Some(0), "{words}: {}", err(&table));
        assert!(out(&table).contains(part), "{words}: {}", out(&table));
        assert!(!out(&table).contains('\u{1b}'), "no colours into a pipe");
        let json = stage.ask(&format!("{words} --json"));
        serde_json::from_str::<Value>(&out(&json)).unwrap_or_else(|error| panic!("{words}: {error}: {}", out(&json)));
    }
    let lines = stage.ask("quarantine show tail-1.jsonl");
    assert_eq!(out(&lines), "{\"key\":\"k0\"}\n{\"key\":\"k1\"}\n");
    let status: Value = serde_json::from_str(&out(&stage.ask("status --json"))).expect("JSON");
    assert_eq!(status["role"], "owner");
    assert_eq!(status["each_fragment"][1]["acknowledged"][0]["version"]["seq"], 40);
}

#[test]
fn operations_are_planned_carried_out_and_held_to_their_plan() {
    let stage = Stage::new();
    let planned = stage.ask("plan move f0 3 --to c");
    assert_eq!(planned.status.code(), Some(0), "{}", err(&planned));
    for part in ["plan p00000000000000aa-3  move", "f0", "0-8191", "copy", "12 ms", "at most 50 %", "--plan p00000000000000aa-3"] {
        assert!(out(&planned).contains(part), "no {part}: {}", out(&planned));
    }
    assert!(stage.node.called().is_empty(), "a plan changes nothing");
    for (words, call) in [
        ("move f0 3 --to c --plan p1-2", r#"{"fragments":[0,3],"operation":"move","slots":[],"to":"c"} plan p1-2"#),
        ("stage --slots 0-9 --to c", r#"{"fragments":[],"operation":"stage","slots":[{"first":0,"last":9}],"to":"c"} plan -"#),
        ("rebalance", r#"{"operation":"rebalance"} plan -"#),
        ("handover a", r#"{"node":"a","operation":"handover"} plan -"#),
        ("decommission a", r#"{"node":"a","operation":"decommission"} plan -"#),
        ("failover a", r#"{"accept_loss":false,"fragments":[],"node":"a","operation":"failover"} plan -"#),
        ("failover 3 f4 --accept-loss", r#"{"accept_loss":true,"fragments":[3,4],"node":null,"operation":"failover"} plan -"#),
        ("split f3 --at user:1", r#"{"at_key":"user:1","at_slot":null,"fragment":3,"operation":"split"} plan -"#),
        ("merge 3 4", r#"{"left":3,"operation":"merge","right":4} plan -"#),
        ("cluster init", "init"),
        ("node join", "join"),
        ("node remove c", "remove c"),
        ("cancel all", "cancel all"),
        ("quarantine drop tail-1.jsonl", "drop tail-1.jsonl"),
        ("quarantine reapply tail-1.jsonl --all", "reapply k0 k1"),
        ("quarantine reapply tail-1.jsonl k1", "reapply k1"),
    ] {
        let done = stage.ask(words);
        assert_eq!(done.status.code(), Some(0), "{words}: {}", err(&done));
        assert_eq!(std::mem::take(&mut *stage.node.calls.lock().expect("not poisoned")), [call], "{words}");
    }
    for (words, part) in [
        ("node list", "a.example.org:7602"),
        ("node list", "leaving"),
        ("cluster cells", "nobody, fenced by b"),
        ("locate user:1", "owned by a at a.example.org:7600"),
        ("moves", "1.0 MiB of 4.0 MiB (25 %)"),
        ("status", "copying"),
        ("safe-to-stop b", "yes: b"),
    ] {
        let shown = stage.ask(words);
        assert_eq!(shown.status.code(), Some(0), "{words}: {}", err(&shown));
        assert!(out(&shown).contains(part), "{words}: {}", out(&shown));
        let json = stage.ask(&format!("{words} --json"));
        serde_json::from_str::<Value>(&out(&json)).expect("JSON");
    }
    let unsafe_now = stage.ask("safe-to-stop");
    assert_eq!(unsafe_now.status.code(), Some(1));
    assert!(out(&unsafe_now).contains("NO: a") && out(&unsafe_now).contains("no complete copy"), "{}", out(&unsafe_now));
}

#[test]
fn a_key_that_is_left_alone_gives_exit_code_1() {
    let stage = Stage::new();
    stage.node.diverged.store(true, Ordering::Relaxed);
    let done = stage.ask("quarantine reapply tail-1.jsonl --all");
    assert_eq!(done.status.code(), Some(1), "{}", err(&done));
    assert!(out(&done).contains("k1: left alone: it was changed at 2.7"), "{}", out(&done));
    let absent = stage.ask("quarantine reapply tail-1.jsonl k7");
    assert_eq!(absent.status.code(), Some(1));
    assert!(out(&absent).contains("k7: not in the file"), "{}", out(&absent));
}

#[test]
fn nodes_that_differ_give_exit_code_1() {
    let stage = Stage::new();
    stage.node.diverged.store(true, Ordering::Relaxed);
    let verified = stage.ask("verify");
    assert_eq!(verified.status.code(), Some(1));
    assert!(out(&verified).contains("DIFFERS") && out(&verified).contains("f1"), "{}", out(&verified));
    assert_eq!(stage.ask("verify --json").status.code(), Some(1));

    let other = Stage::new();
    let with = stage.ask(&format!("verify --with {}", other.address));
    assert_eq!(with.status.code(), Some(0), "both hold the same fixed fragments: {}", err(&with));
}

#[test]
fn a_refusal_gives_exit_code_4_with_code_and_action() {
    let stage = Stage::new();
    stage.node.refusing.store(true, Ordering::Relaxed);
    let refused = stage.ask("promote");
    assert_eq!(refused.status.code(), Some(4));
    let text = err(&refused);
    assert!(text.contains("error: this node is an owner already") && text.contains("code: control.not_a_standby"), "{text}");
    assert!(text.contains("do: nothing is to be done"), "{text}");
    let body: Value = serde_json::from_str(&err(&stage.ask("promote --json"))).expect("JSON");
    assert_eq!(body["code"], "control.not_a_standby");
    assert_eq!(stage.ask("fragment show 9").status.code(), Some(4));
}

#[test]
fn nobody_or_somebody_else_gives_exit_code_3() {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let nobody = limosa(&format!("status --node {free}"));
    assert_eq!(nobody.status.code(), Some(3));
    assert!(err(&nobody).contains("code: cli.unreachable"), "{}", err(&nobody));

    let redis = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = redis.local_addr().expect("it is bound");
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = redis.accept().expect("a client");
        std::io::Write::write_all(&mut stream, b"-ERR unknown command 'GET'\r\n").expect("it reads");
    });
    let foreign = limosa(&format!("status --node {address}"));
    thread.join().expect("it answered");
    assert_eq!(foreign.status.code(), Some(3));
    assert!(err(&foreign).contains("code: cli.foreign"), "{}", err(&foreign));
}

#[test]
fn wrong_flags_and_configuration_give_exit_code_2() {
    for words in
        ["", "status --nod x", "serve --fragments 0", "serve --resp 0.0.0.0:7600", "serve --config /nowhere.toml", "serve --log =,="]
    {
        let output = limosa(words);
        assert_eq!(output.status.code(), Some(2), "{words}: {}", err(&output));
    }
    let refused = limosa("serve --durability sometimes");
    assert!(err(&refused).contains("--durability: `sometimes` is not a durability"), "{}", err(&refused));
}

#[test]
fn a_bundle_lets_a_node_be_asked_over_tls() {
    let stage = Stage::new();
    let issued = limosa_in(stage.dir.path(), "cert issue --for ops --data .");
    assert_eq!(issued.status.code(), Some(0), "{}", err(&issued));
    let flushed = limosa_in(stage.dir.path(), &format!("promote --bundle ops.pem --node {}", stage.address));
    assert_eq!(flushed.status.code(), Some(0), "{}", err(&flushed));
    assert_eq!(stage.node.called(), ["promote"]);

    let foreign = Stage::new();
    let refused = limosa_in(stage.dir.path(), &format!("status --bundle ops.pem --node {}", foreign.address));
    assert_eq!(refused.status.code(), Some(3), "another cluster's node is not believed");
    let without = limosa_in(stage.dir.path(), "cert issue --for ops --data ./nothing");
    assert_eq!(without.status.code(), Some(4));
    assert!(err(&without).contains("code: pki.no_bundle"), "{}", err(&without));
}
