//! Three `limosa serve` processes as a cluster: founded, joined, rebalanced, one killed and one stopped, while keys stay where clients find them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest wait for anything: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A member that is killed when a test fails.
struct Member {
    child: Child,
    greeting: Value,
}

impl Member {
    fn start(dir: &Path, name: &str, more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_limosa"));
        command.current_dir(dir).args(["serve", "--json", "--cluster", "test", "--standbys", "2", "--lease", "1s"]);
        command.args(["--data", name, "--name", name]).args(more);
        command.args(["--resp", "127.0.0.1:0", "--peer", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("it greets");
        let greeting = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Self { child, greeting }
    }

    fn address(&self, door: &str) -> &str {
        self.greeting[door].as_str().expect("an address")
    }

    /// A command at this node; its answer and exit code.
    fn ask(&self, dir: &Path, words: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_limosa"));
        command.current_dir(dir).args(words.split_whitespace()).args(["--json", "--node", self.address("http")]);
        command.output().expect("the program runs")
    }

    fn json(&self, dir: &Path, words: &str) -> Value {
        let output = self.ask(dir, words);
        assert_eq!(output.status.code(), Some(0), "{words}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// Until `is_so` of the cells.
    fn wait(&self, dir: &Path, what: &str, is_so: impl Fn(&Value) -> bool) {
        let began = Instant::now();
        let mut cells = Value::Null;
        while began.elapsed() < PATIENCE {
            let output = self.ask(dir, "cluster cells");
            if output.status.success() {
                cells = serde_json::from_slice(&output.stdout).expect("JSON");
                let all = cells.as_array().expect("a list");
                if !all.is_empty() && all.iter().all(&is_so) {
                    return;
                }
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{what}: {cells:#}");
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One command at `address`, MOVED followed; its answer's first line and, of a string, the bytes.
fn resp(address: &str, words: &[&str]) -> String {
    let mut address = address.to_owned();
    for _ in 0..5 {
        let mut client = TcpStream::connect(&address).expect("it listens");
        client.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let command: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
        client.write_all(format!("*{}\r\n{command}", words.len()).as_bytes()).expect("it reads");
        let mut reader = BufReader::new(client);
        let mut line = String::new();
        reader.read_line(&mut line).expect("it answers");
        if let Some(moved) = line.strip_prefix("-MOVED ") {
            address = moved.trim().rsplit(' ').next().expect("an address").to_owned();
            continue;
        }
        if let Some(length) = line.strip_prefix('$').and_then(|length| length.trim().parse::<usize>().ok()) {
            let mut value = vec![0; length];
            reader.read_exact(&mut value).expect("it answers");
            return String::from_utf8(value).expect("text");
        }
        return line.trim().to_owned();
    }
    panic!("{words:?} is sent round in circles");
}

fn copies(cell: &Value) -> usize {
    cell["sync_set"].as_array().map_or(0, Vec::len)
}

#[test]
fn three_processes_share_a_cluster_and_lose_nothing_when_one_is_killed_and_one_is_stopped() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    let a = Member::start(dir, "a", &["--manifest", "embedded", "--fragments", "6"]);
    assert_eq!(a.json(dir, "cluster init")["fragments"], 6);
    assert_eq!(resp(a.address("resp"), &["SET", "before", "1"]), "+OK");
    let join = |name: &str| {
        let issued =
            Command::new(env!("CARGO_BIN_EXE_limosa")).current_dir(dir).args(["cert", "issue", "--for", name, "--data", "a"]).output();
        assert!(issued.expect("the program runs").status.success());
        let member = Member::start(dir, name, &["--bundle", &format!("{name}.pem"), "--manifest", a.address("peer")]);
        assert_eq!(member.json(dir, "node join")["node"], name);
        member
    };
    let (mut first_b, mut c) = (join("b"), join("c"));
    a.wait(dir, "every fragment has two complete copies", |cell| copies(cell) == 2);

    let plan = a.json(dir, "plan rebalance");
    assert_eq!((plan["steps"].as_array().map(Vec::len), &plan["bytes"]), (Some(4), &Value::from(0)), "to who has a copy: {plan:#}");
    let id = plan["id"].as_str().expect("an id").to_owned();
    a.json(dir, &format!("rebalance --wait --plan {id}"));
    let nodes = first_b.json(dir, "node list");
    assert!(nodes.as_array().expect("a list").iter().all(|node| node["owns"] == 2), "{nodes:#}");
    let again = a.ask(dir, &format!("rebalance --plan {id}"));
    assert_eq!(again.status.code(), Some(4), "the world has changed since the plan");
    assert!(String::from_utf8_lossy(&again.stderr).contains("cluster.plan_changed"));

    let keys: Vec<String> = (0..60).map(|i| format!("key:{i}")).collect();
    for key in &keys {
        assert_eq!(resp(c.address("resp"), &["SET", key, "v"]), "+OK", "{key}");
    }
    assert_eq!(a.json(dir, "safe-to-stop b")["safe"], true);
    first_b.child.kill().expect("it runs");
    first_b.child.wait().expect("it ends");
    a.wait(dir, "others took over from b", |cell| cell["owner"] == "a" || cell["owner"] == "c");
    // With two copies each, one node may be away: not two. The killed one comes back before the other one is stopped.
    let b = Member::start(dir, "b", &["--manifest", a.address("peer")]);
    a.wait(dir, "b is complete again", |cell| copies(cell) == 2);
    assert_eq!(a.json(dir, "safe-to-stop c")["safe"], true);
    let stopped = Command::new("kill").arg("-TERM").arg(c.child.id().to_string()).status();
    assert!(stopped.expect("kill runs").success() && c.child.wait().expect("it ends").success());
    a.wait(dir, "c handed over", |cell| cell["owner"] == "a" || cell["owner"] == "b");
    assert!(b.json(dir, "node list").is_array());
    for key in keys.iter().map(String::as_str).chain(["before"]) {
        let value = resp(a.address("resp"), &["GET", key]);
        assert!(value == "v" || value == "1", "{key}: {value}");
    }
}
