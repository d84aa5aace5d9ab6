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
