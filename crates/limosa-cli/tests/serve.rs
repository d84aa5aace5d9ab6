//! `limosa serve` as a process: where it says it listens, how it stops, what it refuses.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A node that is killed when a test fails.
struct Served {
    child: Child,
    greeting: Value,
}

impl Served {
    fn start(data: &Path) -> Self {
        let mut command = serve(data);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("it greets");
        let greeting = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Self { child, greeting }
    }

    fn address(&self, door: &str) -> &str {
        self.greeting[door].as_str().expect("an address")
    }

    fn resp(&self, command: &[u8], answer: &[u8]) {
        let mut client = TcpStream::connect(self.address("resp")).expect("it listens");
        client.write_all(command).expect("it reads");
        let mut got = vec![0; answer.len()];
        client.read_exact(&mut got).expect("it answers");
        assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(answer));
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.expect("kill runs").success());
    }

    fn wait(&mut self) -> Option<i32> {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(30) {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the node did not stop");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_limosa"));
    command.arg("serve").arg("--json").arg("--data").arg(data);
    command.args(["--resp", "127.0.0.1:0", "--peer", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    command
}

#[test]
fn a_node_serves_stops_in_order_and_has_everything_after_its_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut node = Served::start(dir.path());
    node.resp(b"*3\r\n$3\r\nSET\r\n$8\r\ngreeting\r\n$5\r\nhello\r\n", b"+OK\r\n");
    let status = Command::new(env!("CARGO_BIN_EXE_limosa")).args(["status", "--json", "--node", node.address("http")]).output();
    let status: Value = serde_json::from_slice(&status.expect("the program runs").stdout).expect("JSON");
    assert_eq!((&status["role"], &status["fragments"]["entries"]), (&Value::from("owner"), &Value::from(1)));
    node.signal("TERM");
    assert_eq!(node.wait(), Some(0));

    let mut again = Served::start(dir.path());
    again.resp(b"*2\r\n$3\r\nGET\r\n$8\r\ngreeting\r\n", b"$5\r\nhello\r\n");
    again.signal("INT");
    assert_eq!(again.wait(), Some(0));
}

#[test]
fn two_processes_on_one_folder_are_refused_with_exit_code_4() {
    let dir = tempfile::tempdir().expect("a folder");
    let _node = Served::start(dir.path());
    let second = serve(dir.path()).output().expect("the program runs");
    assert_eq!(second.status.code(), Some(4));
    let text = String::from_utf8_lossy(&second.stderr);
    assert!(text.contains("store.folder_in_use"), "{text}");
    for command in ["check", "stats", "dump"] {
        let offline = offline(command, dir.path());
        assert_eq!(offline.status.code(), Some(4), "nor is it looked at under a running node: {command}");
    }
}

fn offline(command: &str, data: &Path) -> std::process::Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_limosa"));
    program.args(["store", command, "--json", "--data"]).arg(data).output().expect("the program runs")
}

#[test]
fn a_folder_is_counted_and_dumped_offline_whatever_bytes_it_holds() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut node = Served::start(dir.path());
    node.resp(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2\r\n\xff\"\r\n", b"+OK\r\n");
    node.resp(b"*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$1\r\n2\r\n", b"+OK\r\n");
    node.resp(b"*2\r\n$3\r\nDEL\r\n$1\r\nb\r\n", b":1\r\n");
    node.signal("TERM");
    assert_eq!(node.wait(), Some(0));
    let stats = offline("stats", dir.path());
    let stats: Value = serde_json::from_slice(&stats.stdout).expect("JSON");
    assert_eq!((&stats["keys"], &stats["tombstones"]), (&Value::from(1), &Value::from(1)));
    assert!(stats["journal_bytes"].as_u64().is_some_and(|bytes| bytes > 0));
    let lines = |more: &[&str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_limosa"));
        let out = program.args(["store", "dump", "--data"]).arg(dir.path()).args(more).output().expect("the program runs");
        assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
        let text = String::from_utf8(out.stdout).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect::<Vec<Value>>()
    };
    let all = lines(&[]);
    assert_eq!(all.len(), 1);
    assert_eq!((&all[0]["key"], &all[0]["value_base64"], &all[0]["deleted"]), (&"a".into(), &"/yI=".into(), &false.into()));
    assert_eq!(lines(&["--tombstones"]).len(), 2);
    assert_eq!(lines(&["--tombstones", "--from-key", "b"])[0]["deleted"], true);
    assert_eq!(lines(&["--tombstones", "--limit", "1"]).len(), 1);
    assert!(lines(&["--to-key", "a"]).is_empty());
}

#[test]
fn a_folder_is_checked_offline_and_can_forget_its_history_but_nothing_else() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut node = Served::start(dir.path());
    node.resp(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n", b"+OK\r\n");
    node.signal("TERM");
    assert_eq!(node.wait(), Some(0));
    let forgotten = offline("forget-history", dir.path());
    assert_eq!(forgotten.status.code(), Some(0), "{}", String::from_utf8_lossy(&forgotten.stderr));
    let checked = offline("check", dir.path());
    let checked: Value = serde_json::from_slice(&checked.stdout).expect("JSON");
    assert_eq!((&checked["agree"], &checked["entries"]), (&Value::from(true), &Value::from(1)));
    let again = Served::start(dir.path());
    again.resp(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n", b"$1\r\nb\r\n");
    for command in ["check", "stats", "dump"] {
        let nothing = offline(command, &dir.path().join("nothing"));
        assert_eq!(nothing.status.code(), Some(4));
        let error: Value = serde_json::from_slice(&nothing.stderr).expect("JSON");
        assert_eq!(error["code"], "server.no_folder", "{command}");
    }
    assert!(!dir.path().join("nothing").exists(), "a mistyped folder is not made");
}
